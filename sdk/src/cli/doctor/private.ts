import { BlockList, isIPv6 } from 'node:net';

/** Addresses that the internet does not route: RFC 1918, RFC 6598, RFC 3927, RFC 4193, RFC 4291. */
const unrouted = new BlockList();
for (const [network, bits] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['100.64.0.0', 10],
  ['169.254.0.0', 16],
  ['127.0.0.0', 8],
] as const) {
  unrouted.addSubnet(network, bits, 'ipv4');
}
for (const [network, bits] of [
  ['fc00::', 7],
  ['fe80::', 10],
  ['::1', 128],
] as const) {
  unrouted.addSubnet(network, bits, 'ipv6');
}

/** Whether an IP address is one that only its own network, or machine, knows the way to. */
export const isPrivate = (address: string): boolean => unrouted.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
