import { BlockList } from 'node:net';
import * as fc from 'fast-check';

const words = (text: string): string[] => text.split(' ');

/**
 * Networks of IANA's special-purpose registries, but for those of documentation, which the tests
 * use as public ones.
 */
const special = {
  ipv4: [
    ...words('0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24'),
    ...words('192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 224.0.0.0/3 168.63.129.16/32'),
  ],
  // All but 2000::/3, and of that Teredo and its like, documentation, 6to4, and what was 6bone's
  // with documentation's second.
  ipv6: words('::/3 4000::/2 8000::/1 2001::/23 2001:db8::/32 2002::/16 3ffe::/15'),
};
/**
 * Where clouds serve their machines' metadata or names, and ways to write such an address in IPv6.
 */
const metadata = {
  ipv4: words('169.254.169.254 169.254.169.253 100.100.100.200 192.0.0.192 168.63.129.16'),
  ipv6: [
    ...words('fd00:ec2::254 fd00:ec2::253 fd20:ce::254 fe80::a9fe:a9fe ::a9fe:a9fe ::ffff:a9fe:a9fe'),
    ...words('::ffff:0:a9fe:a9fe 64:ff9b::a9fe:a9fe 64:ff9b:1::a9fe:a9fe 2002:a9fe:a9fe:: 2001:0:a9fe:a9fe::'),
  ],
};

const isSpecial = { ipv4: new BlockList(), ipv6: new BlockList() };
for (const family of ['ipv4', 'ipv6'] as const) {
  for (const network of special[family]) {
    const [address = '', bits] = network.split('/');
    isSpecial[family].addSubnet(address, Number(bits), family);
  }
}

/** Zeros and the highest byte are where ranges begin and end. */
const byte = fc.oneof(fc.constantFrom(0, 0, 0, 1, 0xff), fc.nat(255));
const first = fc.oneof(fc.nat(255), fc.constantFrom(10, 100, 127, 169, 172, 192, 198, 0x20, 0x3f, 0xfc, 0xfe));
const write = {
  ipv4: (bytes: number[]): string => bytes.join('.'),
  ipv6: (bytes: number[]): string =>
    Array.from({ length: 8 }, (_, at) => ((bytes[2 * at] ?? 0) * 256 + (bytes[2 * at + 1] ?? 0)).toString(16)).join(
      ':',
    ),
};

/** Addresses of peers, and whether they are on the internet; the same ones for a seed. */
export function peers(family: 'ipv4' | 'ipv6', count: number, seed: number): { address: string; isPublic: boolean }[] {
  const length = family === 'ipv4' ? 3 : 15;
  const rest = fc.array(byte, { minLength: length, maxLength: length });
  const random = fc.tuple(first, rest).map(([one, others]) => write[family]([one, ...others]));
  return [...metadata[family], ...fc.sample(random, { numRuns: count, seed })].map((address) => ({
    address,
    isPublic: !isSpecial[family].check(address, family),
  }));
}
