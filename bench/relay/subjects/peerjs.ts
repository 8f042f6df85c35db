import { fileURLToPath } from 'node:url';
import { freePort } from '../../../test/support/port.ts';
import { MeasuredProcess } from '../../lib/process.ts';
import { type Place, signals, type Subject } from '../subject.ts';
import { openNamed } from './named.ts';

const file = fileURLToPath(new URL('../../../node_modules/peer/dist/bin/peerjs.js', import.meta.url));

/** The PeerJS server, as its own command starts it. */
export const peerjs: Subject = {
  name: 'PeerJS',
  announces: false,
  async start() {
    const port = await freePort();
    // The peers send no heartbeats, and are as many as are measured.
    const limits = ['--alive_timeout', '100000000', '--concurrent_limit', '1000000'];
    const args = ['--port', String(port), '--host', '127.0.0.1', ...limits];
    return [await MeasuredProcess.start({ file, port, args })];
  },
  join(port: number, { room, role }: Place) {
    const dst = `${role === 'server' ? 'client' : 'server'}-${room}`;
    return openNamed({
      url: `ws://127.0.0.1:${port}/peerjs?key=peerjs&id=${role}-${room}&token=${room}`,
      hello: [],
      joined: (message) => message.includes('"OPEN"'),
      texts: signals.map((payload) => JSON.stringify({ type: 'OFFER', dst, payload })),
      isSignal: (message) => message.includes('"OFFER"'),
    });
  },
};
