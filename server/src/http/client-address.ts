import type { IncomingMessage } from 'node:http';
import { readAddress } from '../connections/address.ts';
import type { Logger } from '../log.ts';

const mostNamed = 1000;

/**
 * Makes a function that returns the address of whoever sent a request: the last one in
 * `X-Forwarded-For` that no trusted proxy has. Where a proxy forwards no address, its own counts:
 * whatever a peer could choose instead would be a new address for each of its sockets.
 */
export function clientAddresses(
  isProxy: (address: string) => boolean,
  log: Logger,
): (request: IncomingMessage) => string {
  const named = new Set<string>();
  return ({ socket, headers }) => {
    const { remoteAddress = '' } = socket;
    let address = readAddress(remoteAddress) ?? remoteAddress;
    const header = headers['x-forwarded-for'];
    if (header === undefined) return address;
    // Node joins several headers of this name with commas, in their order.
    for (const hop of String(header).split(',').toReversed()) {
      if (!isProxy(address)) return address;
      const forwarded = readAddress(hop.trim());
      if (forwarded === undefined) {
        if (!named.has(address) && named.size < mostNamed) log.warn({ proxy: address }, unreadable);
        named.add(address);
        return address;
      }
      address = forwarded;
    }
    return address;
  };
}

const unreadable =
  'The X-Forwarded-For header of this proxy has no client IP address, so all its peers count as one address. Configure the proxy to set X-Forwarded-For to the IP address of its client.';
