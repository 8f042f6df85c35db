import { isIP, SocketAddress } from 'node:net';

/**
 * Reads an IP address as proxies write it: with or without a port, an IPv6 one with or without
 * brackets and a zone. Returns its canonical form, in which an IPv4 address is one, also where it
 * is written as IPv6 (RFC 4291 §2.5.5.2, RFC 6052 §2.1); undefined if it is no address.
 */
export function readAddress(text: string): string | undefined {
  const [, bracketed, withPort] = /^(?:\[([^\]]*)\](?::\d+)?|([\d.]+):\d+)$/.exec(text) ?? [];
  const [address = ''] = (bracketed ?? withPort ?? text).split('%');
  if (isIP(address) !== 6) return isIP(address) === 4 ? address : undefined;
  const { address: canonical } = new SocketAddress({ address, family: 'ipv6' });
  if (canonical.startsWith('::ffff:') && isIP(canonical.slice(7)) === 4) return canonical.slice(7);
  const groups = groupsOf(canonical);
  // Behind a translator all peers with IPv4 would otherwise be one network.
  if (groups.slice(0, 6).join(':') !== '64:ff9b:0:0:0:0') return canonical;
  const [high = 0, low = 0] = groups.slice(6).map((group) => parseInt(group, 16));
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.');
}

/** What counts as one address: whoever has an IPv6 address has its whole /64 (RFC 4291 §2.5.4). */
export function networkOf(address: string): string {
  const canonical = readAddress(address) ?? address;
  return isIP(canonical) === 6 ? `${groupsOf(canonical).slice(0, 4).join(':')}::/64` : canonical;
}

function groupsOf(address: string): string[] {
  const [head = [], tail = []] = address.split('::').map((part) => part.split(':').filter(Boolean));
  return [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => '0'), ...tail];
}
