import { BlockList, isIP } from 'node:net';
import { RendezvousError } from '../errors.ts';

export interface Proxy {
  url: URL;
  /** The variable that it comes from, such as `HTTPS_PROXY`. */
  variable: string;
  /** For people: its address without its credentials, and the variable. */
  name: string;
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/**
 * The proxy that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` give for a URL, as curl
 * and Go read them: lower case first, a proxy without a scheme is an HTTP proxy, a name in
 * `NO_PROXY` covers the names below it, and a network in `NO_PROXY` its addresses. Loopback has
 * none.
 *
 * @param target a URL with http:, https:, ws: or wss:
 * @returns undefined where the connection is a direct one
 * @throws RendezvousError `bad_option` when the variable names what is no HTTP proxy
 */
export function proxyFor(target: URL, env: Record<string, string | undefined> = process.env): Proxy | undefined {
  const host = bare(target.hostname);
  if (isLoopback(host)) return undefined;
  const secure = target.protocol === 'https:' || target.protocol === 'wss:';
  const variable = [secure ? 'HTTPS_PROXY' : 'HTTP_PROXY', 'ALL_PROXY']
    .flatMap((name) => [name.toLowerCase(), name])
    .find((name) => env[name]?.trim());
  if (variable === undefined) return undefined;
  const port = target.port || (secure ? '443' : '80');
  if (isExempt(host, port, env['no_proxy']?.trim() || env['NO_PROXY'] || '')) return undefined;
  const url = parseProxy(env[variable]!.trim(), variable);
  return { url, variable, name: `${url.protocol}//${url.host} (${variable})` };
}

function parseProxy(text: string, variable: string): URL {
  const url = URL.parse(/^[a-z][a-z\d+.-]*:\/\//i.test(text) ? text : `http://${text}`);
  if (url && (url.protocol === 'http:' || url.protocol === 'https:') && url.hostname !== '') return url;
  // The value is not repeated, because it may contain a password.
  const what = url?.protocol.startsWith('socks') ? 'a SOCKS proxy, which is not supported' : 'no HTTP proxy';
  throw new RendezvousError(
    'bad_option',
    `${variable} names ${what}. Set it to an address such as http://proxy.example:3128, or exempt the host with NO_PROXY.`,
  );
}

function isExempt(host: string, port: string, noProxy: string): boolean {
  return noProxy
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => entry !== '' && (entry === '*' || matches(entry, host, port)));
}

/** @param entry of `NO_PROXY`: a name or an address, perhaps with a port, or a network */
function matches(entry: string, host: string, port: string): boolean {
  const [, network = '', bits] = /^\[?([\da-f.:]+)\]?\/(\d{1,3})$/.exec(entry) ?? [];
  if (bits !== undefined) return isInNetwork(host, network, Number(bits));
  if (isIP(bare(entry)) !== 0) return sameAddress(bare(entry), host);
  const [, name = '', onlyPort = port] = /^(.*?)(?::(\d+))?$/.exec(entry) ?? [];
  if (onlyPort !== port) return false;
  if (isIP(bare(name)) !== 0) return sameAddress(bare(name), host);
  const suffix = name.replace(/^\*?\.?/, '').replace(/\.$/, '');
  return suffix !== '' && (host === suffix || host.endsWith(`.${suffix}`));
}

const sameAddress = (address: string, host: string): boolean =>
  isInNetwork(host, address, isIP(address) === 6 ? 128 : 32);

function isInNetwork(host: string, network: string, bits: number): boolean {
  const family = isIP(network);
  if (family === 0 || isIP(host) !== family || bits > (family === 6 ? 128 : 32)) return false;
  const list = new BlockList();
  const type = family === 6 ? 'ipv6' : 'ipv4';
  list.addSubnet(network, bits, type);
  return list.check(host, type);
}

function isLoopback(host: string): boolean {
  if (host === 'localhost' || host.endsWith('.localhost')) return true;
  const family = isIP(host);
  return family !== 0 && loopback.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

/** A host without the brackets of an IPv6 address, and without the dot at the end of a name. */
const bare = (host: string): string => host.toLowerCase().replace(/^\[(.*)\]$|\.$/, '$1');
