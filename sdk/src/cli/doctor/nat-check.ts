import { createSocket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
import type { Finding } from './finding.ts';
import { resolve } from './open.ts';
import { attribute, method, parseResponse, request, transactionOf, xorAddress, xorPort } from './stun.ts';

/** How long servers have to answer, and how often they are asked, in milliseconds. */
const answerMs = 2_000;
const repeatMs = 400;

export interface NatView {
  nat: 'open' | 'strict' | 'unknown';
  /** With at least two answers. */
  finding?: Finding;
}

/**
 * Whether all servers see one socket at the same public address (RFC 4787 §4.1): only then can
 * another peer use it. TURN servers answer that over UDP, too.
 *
 * @param servers that answer over UDP
 */
export async function checkNat(servers: readonly Place[], stop: AbortSignal): Promise<NatView> {
  const limit = AbortSignal.any([stop, AbortSignal.timeout(answerMs)]);
  const places = await placesOf(servers, limit);
  if (places.size < 2 || limit.aborted) return { nat: 'unknown' };
  const requests = new Map([...places.values()].map((place) => [newRequest(), place]));
  const pending = new Set([...requests.keys()].map(transactionOf));
  const seen: string[] = [];
  const ended = Promise.withResolvers<void>();
  limit.addEventListener('abort', () => ended.resolve(), { once: true });
  const socket = createSocket('udp4');
  socket.on('error', () => {}); // no answer, then
  socket.on('message', (message) => {
    const response = parseResponse(message);
    const address = response && xorAddress(response, attribute.mappedAddress);
    if (!response || address === undefined || !pending.delete(response.transaction)) return;
    seen.push(`${address} ${xorPort(response, attribute.mappedAddress)}`);
    if (pending.size === 0) ended.resolve();
  });
  const send = () => {
    for (const [message, { host, port }] of requests) socket.send(message, port, host, () => {});
  };
  send();
  const timer = setInterval(send, repeatMs);
  await ended.promise;
  clearInterval(timer);
  socket.close();
  return seen.length < 2 ? { nat: 'unknown' } : viewOf(seen);
}

const newRequest = (): Buffer => request(method.binding, []);

interface Place {
  host: string;
  port: number;
}

/** The servers by their IPv4 addresses, each once. */
async function placesOf(servers: readonly Place[], limit: AbortSignal): Promise<Map<string, Place>> {
  const places = new Map<string, Place>();
  await Promise.all(
    servers.map(async ({ host, port }) => {
      const addresses = await resolve(host, limit).catch(() => []);
      const address = addresses.find(({ family }) => family === 4)?.address;
      if (address !== undefined) places.set(`${address} ${port}`, { host: address, port });
    }),
  );
  return places;
}

function viewOf(seen: string[]): NatView {
  const check = 'nat';
  if (new Set(seen).size > 1) {
    return {
      nat: 'strict',
      finding: {
        check,
        status: 'warn',
        code: 'strict_nat',
        seen: 'the NAT of this network uses another port for each destination',
        advice: 'Two such networks have no direct path: TURN or the relayed path connects them.',
      },
    };
  }
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses?.map(({ address }) => address));
  const none = own.includes(seen[0]!.split(' ')[0]);
  const what = none ? 'there is no NAT' : 'the NAT of this network keeps one port for all destinations';
  return { nat: 'open', finding: { check, status: 'ok', seen: `${what} on the way to these servers` } };
}
