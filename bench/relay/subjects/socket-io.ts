import { fileURLToPath } from 'node:url';
import { freePort } from '../../../test/support/port.ts';
import { MeasuredProcess } from '../../lib/process.ts';
import { type Place, signals, type Subject } from '../subject.ts';
import { openNamed } from './named.ts';

const file = fileURLToPath(new URL('socket-io-server.ts', import.meta.url));

/**
 * A room relay on Socket.IO, with its Redis adapter between instances; spoken to in Engine.IO 4 and
 * Socket.IO 5 directly.
 */
export const socketIo: Subject = {
  name: 'Socket.IO',
  announces: false,
  async start(instances, redis) {
    const ports = await Promise.all(Array.from({ length: instances }, () => freePort()));
    const more = redis === undefined ? [] : [redis];
    return await Promise.all(ports.map((port) => MeasuredProcess.start({ file, port, args: [String(port), ...more] })));
  },
  join(port: number, { room }: Place) {
    return openNamed({
      url: `ws://127.0.0.1:${port}/socket.io/?EIO=4&transport=websocket`,
      // Connect to the namespace, then join with an acknowledgement.
      hello: ['40'],
      joined: (message) => message.startsWith('43'),
      texts: signals.map((data) => `42${JSON.stringify(['signal', room, data])}`),
      isSignal: (message) => message.includes('"signal"'),
      answer: (message) => {
        if (message === '2') return '3';
        return message.startsWith('40') ? `421${JSON.stringify(['join', room])}` : undefined;
      },
    });
  },
};
