import { fileURLToPath } from 'node:url';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { WebSocket } from 'ws';
import { freePort } from '../../../test/support/port.ts';
import { MeasuredProcess } from '../../lib/process.ts';
import type { Peer, Place, Subject } from '../subject.ts';
import { idAddressed } from './floor.ts';

const file = fileURLToPath(new URL('../../../server/src/main.ts', import.meta.url));
/** The key of its room tokens. */
export const key = 'a secret for benchmarks, long enough';

/** Limits that one machine with one address would meet; each still counts. */
const unlimited = {
  MAX_CONNECTIONS_PER_ADDRESS: '1000000',
  MAX_CONNECTIONS_PER_ISSUER: '1000000',
  MAX_JOINS_PER_SECOND_PER_SUBJECT: '1000000',
  MAX_PENDING_JOINS: '1000000',
  MAX_PENDING_JOINS_PER_ADDRESS: '1000000',
  MAX_ROOMS: '1000000',
  MAX_CLIENTS_PER_ROOM: '100000',
  MAX_MESSAGES_PER_SECOND: '1000000',
  MAX_MESSAGES_BURST: '1000000',
  MAX_BYTES_PER_SECOND: '1073741824',
  MAX_BYTES_BURST: '1073741824',
  JOIN_TIMEOUT_MS: '60000',
};

/** An instance on a free port, with these settings beside what is not limited. */
export async function startRelay(env: Record<string, string>): Promise<MeasuredProcess> {
  const port = await freePort();
  const all = { RELAY_SECRET: key, ...unlimited, RELAY_PORT: String(port), ...env };
  return await MeasuredProcess.start({ file, port, env: all });
}

/** This relay, with the log level and everything else as by default. Tokens are HS256. */
export const rendezvous: Subject = {
  name: 'mcp-rendezvous',
  announces: true,
  async start(instances, redis) {
    const env = redis === undefined ? {} : { REDIS_URL: redis };
    return await Promise.all(Array.from({ length: instances }, () => startRelay(env)));
  },
  async join(port: number, place: Place): Promise<Peer> {
    const { room, role, name = '' } = place;
    const token = await createRoomToken({ key, room, role, subject: `${role}-of-${room}${name}`, ttl: '1h' });
    const url = `ws://127.0.0.1:${port}/v1/connect`;
    const socket = new WebSocket(url, 'mcp-rendezvous.v1', { perMessageDeflate: false });
    const peer = await idAddressed(socket, { type: 'join', token });
    peer.leave = () => socket.send('{"type":"leave"}');
    return peer;
  },
};
