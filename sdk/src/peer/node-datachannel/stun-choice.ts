import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { type ChosenServer, parseServer } from '../servers.ts';

/** How long connecting waits for the first answer, in milliseconds. */
const answerMs = 1_000;
/** How long an answer counts, in milliseconds. */
const freshMs = 60_000;

/** When a server answered last, by its URL, in the time of performance.now(). */
const answered = new Map<string, number>();

const isFresh = ({ urls }: ChosenServer): boolean => performance.now() - (answered.get(urls) ?? -Infinity) < freshMs;

/** libdatachannel asks one STUN server: the first one that answered lately, or the first one. */
export const answeringStun = (servers: readonly ChosenServer[]): ChosenServer | undefined =>
  servers.find(isFresh) ?? servers[0];

/** Asks all servers of a list, and resolves with the first answer: at once where one is known. */
export async function askStunServers(servers: readonly ChosenServer[]): Promise<void> {
  if (servers.length < 2 || servers.some(isFresh)) return;
  const socket = createSocket('udp4');
  socket.on('error', () => {}); // no network: there is no answer
  const asked = new Map<string, string>();
  let timer: NodeJS.Timeout | undefined;
  await new Promise<void>((resolve) => {
    socket.on('message', (response) => {
      const urls = asked.get(response.toString('hex', 8, 20));
      // RFC 8489 §6.3.1: a success response to a binding request.
      if (urls === undefined || response.readUInt16BE(0) !== 0x0101) return;
      answered.set(urls, performance.now());
      resolve();
    });
    for (const { urls } of servers) {
      const request = Buffer.concat([Buffer.from('000100002112a442', 'hex'), randomBytes(12)]);
      asked.set(request.toString('hex', 8), urls);
      const { host, port } = parseServer(urls);
      // A name that cannot be resolved is a server that does not answer.
      socket.send(request, port, host, () => {});
    }
    timer = setTimeout(resolve, answerMs);
  });
  clearTimeout(timer);
  socket.close();
}
