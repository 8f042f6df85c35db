import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';

/**
 * Addresses to offer at most. With as many from a STUN server, and those of TURN servers, they are
 * the 20 candidates that libjuice takes.
 */
export const mostAddresses = 8;

/** Documentation addresses (RFC 5737, RFC 3849), which only default routes match. */
const elsewhere = { udp4: '192.0.2.1', udp6: '2001:db8::1' };

/** The addresses of this machine that may be host candidates, by interface (RFC 8445 §5.1.1.1). */
const byInterface = (): string[][] =>
  Object.values(networkInterfaces()).map((list = []) =>
    list
      .filter(({ address, internal }) => !internal && !/^(?:169\.254\.|fe80:)/i.test(address))
      .map(({ address }) => address),
  );

/** Whether what is sent to an address stays on this machine. */
export const isOwnAddress = (host: string): boolean =>
  Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === host));

export const hostAddresses = (): string[] => byInterface().flat();

/**
 * Those of {@link hostAddresses} that are worth a candidate: all, or where there are many those of
 * the default routes, and then the first ones of each interface. A peer that only another one leads
 * to is found all the same, if it offers its own: checks are sent from all addresses.
 */
export async function usefulAddresses(): Promise<string[]> {
  const interfaces = byInterface();
  if (interfaces.flat().length <= mostAddresses) return interfaces.flat();
  const routed = await Promise.all([sourceFor('udp4'), sourceFor('udp6')]);
  const known = new Set(interfaces.flat());
  const longest = Math.max(...interfaces.map(({ length }) => length));
  const inTurn = Array.from({ length: longest }, (_, at) => interfaces.flatMap((list) => list[at] ?? []));
  const useful = [...routed.filter((address) => known.has(address)), ...inTurn.flat()];
  return [...new Set(useful)].slice(0, mostAddresses);
}

/** From which address this machine sends to the internet; empty if it has no route there. */
async function sourceFor(family: 'udp4' | 'udp6'): Promise<string> {
  const socket = createSocket(family);
  try {
    socket.connect(9, elsewhere[family]);
    await once(socket, 'connect');
    return socket.address().address;
  } catch {
    return ''; // no route
  } finally {
    socket.close();
  }
}

const host = /^candidate:\S+ (\d+ \S+) (\d+) (\S+) (\d+ typ host.*)$/;

/** Whether a candidate is one to send: all but host candidates with other addresses. */
export const isUseful = (candidate: string, useful: string[]): boolean => {
  const [, , , address = ''] = host.exec(candidate) ?? [];
  return isIP(address) === 0 || useful.includes(address);
};

/**
 * The host candidates of the useful addresses in place of those of an engine that has one socket
 * for all addresses, and chose others.
 *
 * @param useful undefined: the engine's own are good
 * @param done families that have had theirs; the engine's further ones are dropped
 */
export function expandHost(candidate: string, useful: string[] | undefined, done: Set<string>): string[] {
  const [, before = '', priority = '', address = '', after = ''] = host.exec(candidate) ?? [];
  const family = isIP(address);
  if (!useful || family === 0) return [candidate];
  const key = `${family} ${before}`;
  if (done.has(key)) return [];
  done.add(key);
  return useful.flatMap((one, at) =>
    isIP(one) === family
      ? [`candidate:${at + 1}${family} ${before} ${Number(priority) - 256 * at} ${one} ${after}`]
      : [],
  );
}
