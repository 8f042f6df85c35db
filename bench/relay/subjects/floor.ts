import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import { freePort } from '../../../test/support/port.ts';
import { MeasuredProcess } from '../../lib/process.ts';
import { type Peer, peerOn, type Place, signals, type Subject } from '../subject.ts';

const file = fileURLToPath(new URL('floor-server.ts', import.meta.url));

/** Bare `ws`, no authentication, rooms in a Map. */
export const floor: Subject = {
  name: 'floor',
  announces: true,
  async start() {
    const port = await freePort();
    return [await MeasuredProcess.start({ file, port, args: [String(port)] })];
  },
  async join(port: number, { room }: Place): Promise<Peer> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false });
    return await idAddressed(socket, { type: 'join', room });
  },
};

/** A peer of a relay that addresses by ids, and announces online peers with `joined` and `peer`. */
export async function idAddressed(socket: WebSocket, join: object): Promise<Peer> {
  const { promise: joined, resolve, reject } = Promise.withResolvers<void>();
  let texts: string[] = [];
  const address = (to: string): void => {
    texts = signals.map((data) => JSON.stringify({ type: 'signal', id: '1', to, data }));
  };
  const peer = peerOn(socket, () => texts);
  socket.on('message', (message: Buffer) => {
    // {"type":"signal"… is all that comes often, and is not worth parsing here.
    if (message[9] === 0x73) return peer.onsignal();
    const frame = JSON.parse(message.toString()) as { type: string; id?: string; peers?: (string | { id: string })[] };
    if (frame.type === 'peer' && frame.id !== undefined) address(frame.id);
    if (frame.type === 'error') reject(new Error(message.toString()));
    if (frame.type !== 'joined') return;
    const [other] = frame.peers ?? [];
    if (other !== undefined) address(typeof other === 'string' ? other : other.id);
    resolve();
  });
  socket.on('error', reject).on('close', () => reject(new Error('closed')));
  await Promise.race([once(socket, 'open'), joined]);
  socket.send(JSON.stringify(join));
  await joined;
  return peer;
}
