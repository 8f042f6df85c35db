import { fileURLToPath } from 'node:url';
import { freePort } from '../../../test/support/port.ts';
import { MeasuredProcess } from '../../lib/process.ts';
import { type Place, signals, type Subject } from '../subject.ts';
import { openNamed } from './named.ts';

const file = fileURLToPath(new URL('y-webrtc-server.ts', import.meta.url));

/**
 * y-webrtc's signaling server: everyone of a topic gets everything, the sender too. It says nothing
 * to a subscription.
 */
export const yWebrtc: Subject = {
  name: 'y-webrtc',
  announces: false,
  async start() {
    const port = await freePort();
    return [await MeasuredProcess.start({ file, port, env: { PORT: String(port) } })];
  },
  join(port: number, { room, role }: Place) {
    const other = role === 'server' ? 'client' : 'server';
    return openNamed({
      url: `ws://127.0.0.1:${port}`,
      hello: [JSON.stringify({ type: 'subscribe', topics: [room] }), '{"type":"ping"}'],
      joined: (message) => message.includes('"pong"'),
      texts: signals.map((data) => JSON.stringify({ type: 'publish', topic: room, from: role, data })),
      isSignal: (message) => message.includes(`"from":"${other}"`),
    });
  },
};
