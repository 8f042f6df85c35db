import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { listen, type Path, type RendezvousError, WebRTCClientTransport } from 'mcp-rendezvous';
import { startApp } from '../../server/test/support/app.ts';
import { testToken } from '../../server/test/support/peer.ts';
import { BlockableEngine } from '../relayed/pair.ts';
import { eventually } from '../support/wait.ts';
import { type Cut, CuttingWire } from './cutting-wire.ts';

// What cannot go on ends when the time is over, at both ends, with what it failed for.

const connectTimeoutMs = 4_000;
const paths: Record<'direct' | 'relayed', Path[]> = { direct: ['direct'], relayed: ['direct', 'relayed'] };

void suite('a relay that is lost while a session opens, and does not come back', { concurrency: true }, () => {
  for (const path of ['direct', 'relayed'] as const) {
    for (const frame of [1, 3, 4, 5]) {
      test(`${path}, from frame ${frame} on: start() rejects as retryable, and the server keeps nothing`, async (t) => {
        const { url } = await startApp(t);
        const relay = url.replace('http', 'ws');
        const cut: Cut = { frame, delivered: true, what: 'client', refused: Number.POSITIVE_INFINITY };
        const wire = await CuttingWire.start([relay, relay], cut);
        t.after(() => wire.stop());
        const room = `given up ${path} ${frame}`;
        const options = () => ({
          relay: wire.url,
          paths: paths[path],
          rtc: new BlockableEngine(true),
          connectTimeoutMs,
        });
        const token = await testToken({ room, role: 'server' });
        let kept = 0;
        const failures: RendezvousError[] = [];
        const listener = await listen({ ...options(), token }, async (transport) => {
          kept++;
          transport.onclose = () => kept--;
          await transport.start().catch((error: RendezvousError) => failures.push(error));
        });
        t.after(() => listener.close());
        const client = new WebRTCClientTransport({ ...options(), token: await testToken({ room, role: 'client' }) });
        wire.begin();
        await assert.rejects(client.start(), (error: RendezvousError) => {
          assert.equal(error.retryable, true, String(error));
          // On a busy machine the time may be over before the relay is lost.
          if (wire.frames >= frame) assert.equal(error.code, 'relay_unreachable');
          return true;
        });
        await eventually(() => kept === 0, undefined, 'the server gives up its end');
        for (const error of failures) assert.equal(error.retryable, true, String(error));
      });
    }
  }
});
