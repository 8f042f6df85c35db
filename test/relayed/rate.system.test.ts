import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { startApp } from '../../server/test/support/app.ts';
import { RawPeer, testToken } from '../../server/test/support/peer.ts';
import { eventually } from '../support/wait.ts';
import { EvilRelay } from './evil-relay.ts';
import { pairUp } from './pair.ts';
import { OwnTime } from '../support/own-time.ts';

/** Bytes a second, of each peer. Fast enough for a test, slow enough for a busy machine. */
const rate = 1_048_576;
const large = 10_000_000;

void suite('a large result on the relayed path', () => {
  for (const delayMs of [0, 50]) {
    test(`arrives at 80 % of the rate with ${4 * delayMs} ms of round trip, and others' signals meanwhile`, async (t) => {
      const app = await startApp(t, { MAX_RELAYED_BYTES_PER_SECOND: String(rate) });
      const slow = await EvilRelay.start(t, app.url);
      slow.delayMs = delayMs;
      const { client, server } = await pairUp(t, slow.url);
      // Bystanders through the same instance.
      const one = await RawPeer.join(app.url, testToken({ room: 'bystanders', role: 'server' }));
      const two = await RawPeer.join(app.url, testToken({ room: 'bystanders', role: 'client' }));
      await one.sees(two, 'online');
      const clock = new OwnTime(t);
      const started = performance.now();
      await server.transport.send({ jsonrpc: '2.0', id: 1, result: { text: 'x'.repeat(large) } });
      const waits: number[] = [];
      while (client.messages.length === 0 && performance.now() - started < 60_000) {
        const sent = clock.ms;
        two.signal(one, 'bystander');
        await one.next('signal');
        waits.push(clock.ms - sent);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const tookMs = clock.ms;
      assert.equal(client.messages.length, 1);
      // The burst is there at once.
      const allowedMs = ((large - 2 * rate) / rate / 0.8) * 1000 + 500;
      assert.ok(tookMs <= allowedMs, `${Math.round(tookMs)} ms, where ${Math.round(allowedMs)} are allowed`);
      assert.equal(server.transport.path, 'relayed');
      const p90 = waits.toSorted((a, b) => a - b)[Math.floor(waits.length * 0.9)] ?? 0;
      assert.ok(p90 < 100, `a bystander's signal took ${Math.round(p90)} ms`);
      t.diagnostic(`${Math.round(tookMs)} ms; signals ${p90.toFixed(1)} ms at p90`);
    });
  }

  test('a reader that stalls holds up a window, and not more', async (t) => {
    const app = await startApp(t);
    const evil = await EvilRelay.start(t, app.url);
    const { client, server } = await pairUp(t, evil.url);
    await server.number(0, 1);
    await eventually(() => client.messages.length === 1);
    evil.seen.length = 0;
    // Nothing of the client's arrives any more, acknowledgements included.
    evil.deeds = { data: (data, from) => (from === 'client' ? [] : [data]) };
    const sending = server.transport.send({ jsonrpc: '2.0', id: 1, result: { text: 'x'.repeat(2_000_000) } });
    // That nothing more comes shows in time only: at the rate it would be half a megabyte.
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    const held = evil.seen.reduce((sum, { length }) => sum + length, 0);
    assert.ok(held <= 65_536 + 4_096, `${held} bytes`);
    evil.deeds = {};
    await sending;
    await eventually(() => client.messages.length === 2, 40_000);
  });
});
