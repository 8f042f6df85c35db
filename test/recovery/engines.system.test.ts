import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  type JsonRpcMessage,
  MemorySignaling,
  type TransportState,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { testToken } from '../../server/test/support/peer.ts';
import { engineNames, engines, type EngineName } from '../support/engines.ts';
import { RelayProcess } from '../support/relay.ts';
import { eventually, within } from '../support/wait.ts';
import { OwnTime } from '../support/own-time.ts';

let relay: RelayProcess;
before(async () => {
  relay = await RelayProcess.start();
});
after(() => relay.stop());

const note = (n: number, text: string): JsonRpcMessage => ({
  jsonrpc: '2.0',
  method: 'notifications/note',
  params: { n, text },
});

/** A client of a server in another process, both with this engine. */
async function withProcess(t: TestContext, engine: EngineName): Promise<[WebRTCClientTransport, ChildProcess]> {
  const room = `process ${engine} ${crypto.randomUUID()}`;
  const child = fork(
    fileURLToPath(new URL('end.ts', import.meta.url)),
    [relay.ws, await testToken({ room, role: 'server' }), engine],
    { execArgv: ['--conditions=mcp-rendezvous-source'] },
  );
  t.after(() => child.kill('SIGKILL'));
  await within(once(child, 'message'), 'the server is ready', 60_000);
  const token = await testToken({ room, role: 'client' });
  const client = new WebRTCClientTransport({ relay: relay.ws, token, rtc: engines[engine] });
  t.after(() => client.close());
  await client.start();
  const echo = new Promise((resolve) => (client.onmessage = resolve));
  await client.send(note(1, 'echo'));
  await within(echo, 'the server answers');
  // Before that the relay would tell of the other side.
  await eventually(() => client.path === 'direct');
  return [client, child];
}

for (const engine of engineNames) {
  test(
    `${engine}: messages of 10 MiB both ways at once, and small ones behind them`,
    { timeout: 110_000 },
    async (t) => {
      const [left, right] = MemorySignaling.pair();
      const rtc = engines[engine];
      const client = new WebRTCClientTransport({ signaling: left, rtc });
      const server = new WebRTCServerTransport({ signaling: right, rtc });
      t.after(() => Promise.all([client.close(), server.close()]));
      await Promise.all([client.start(), server.start()]);
      const overhead = JSON.stringify(note(1, '')).length;
      const messages = [note(1, 'x'.repeat(10_485_760 - overhead)), note(2, 'small')];
      for (const end of [client, server]) {
        const received: JsonRpcMessage[] = [];
        const other = end === client ? server : client;
        other.onmessage = (message) => {
          received.push(message);
          if (received.length === messages.length) done[end === client ? 0 : 1]!.resolve(received);
        };
      }
      const done = [Promise.withResolvers<JsonRpcMessage[]>(), Promise.withResolvers<JsonRpcMessage[]>()];
      await Promise.all(messages.flatMap((message) => [client.send(message), server.send(message)]));
      for (const { promise } of done) {
        assert.deepEqual(await within(promise, 'both arrived', 100_000), messages);
      }
      await assert.rejects(client.send(note(3, 'x'.repeat(10_485_761))), { code: 'message_too_large' });
      assert.deepEqual([client.state, server.state], ['connected', 'connected']);
    },
  );

  test(`${engine}: a peer that is killed is noticed within 10 s`, async (t) => {
    const [client, child] = await withProcess(t, engine);
    const clock = new OwnTime(t);
    child.kill('SIGKILL');
    await eventually(() => client.state !== 'connected');
    t.diagnostic(`noticed after ${Math.round(clock.ms)} ms`);
    assert.ok(clock.ms < 10_000, `noticed after ${clock.ms} ms`);
  });

  test(`${engine}: a peer that closes is noticed at once`, async (t) => {
    const [client, child] = await withProcess(t, engine);
    const closed = new Promise<number>((resolve) => {
      client.onclose = () => resolve(Date.now());
    });
    const states: TransportState[] = [];
    client.onstatechange = (state) => states.push(state);
    const told = once(child, 'message') as Promise<[{ at: number }]>;
    child.send('close');
    const [[{ at }], seen] = await within(Promise.all([told, closed]), 'the end is noticed');
    t.diagnostic(`noticed after ${seen - at} ms`);
    // By its word: one who is silent is looked for first.
    assert.deepEqual(states, ['closed']);
    assert.equal(client.state, 'closed');
  });
}
