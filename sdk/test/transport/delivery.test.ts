import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { testToken } from '../../../server/test/support/peer.ts';
import { RelayProcess } from '../../../test/support/relay.ts';

const count = 200;
let relay: RelayProcess;
before(async () => {
  relay = await RelayProcess.start();
});
after(() => relay.stop());

/** Connected on the relayed path, where one read of a socket has many messages. */
async function relayed(t: { name: string; after(release: () => unknown): void }) {
  const [forClient, forServer] = await Promise.all(
    (['client', 'server'] as const).map((role) => testToken({ room: t.name, role })),
  );
  const options = { relay: relay.ws, paths: ['relayed' as const] };
  const client = new WebRTCClientTransport({ ...options, token: forClient! });
  const server = new WebRTCServerTransport({ ...options, token: forServer! });
  t.after(() => Promise.all([client.close(), server.close()]));
  await Promise.all([client.start(), server.start()]);
  assert.equal(server.path, 'relayed');
  return { client, server };
}

test('what a message sets off has run before the next one, also where many arrive at once', async (t) => {
  const { client, server } = await relayed(t);
  const events: string[] = [];
  const expected = Array.from({ length: count }, (_, n) => [`message ${n}`, `after ${n}`]).flat();
  const done = Promise.withResolvers<void>();
  client.onmessage = (message) => {
    const n = Number('id' in message ? message.id : undefined);
    events.push(`message ${n}`);
    void microtasks(20).then(() => {
      events.push(`after ${n}`);
      if (n === count - 1) done.resolve();
    });
  };
  await Promise.all(Array.from({ length: count }, (_, id) => server.send({ jsonrpc: '2.0', id, result: {} })));
  await done.promise;
  assert.deepEqual(events, expected);
});

test('a transport that closes delivers first what has arrived', async (t) => {
  const { client, server } = await relayed(t);
  const received: unknown[] = [];
  const closed = Promise.withResolvers<void>();
  client.onclose = () => closed.resolve();
  client.onmessage = (message) => received.push('id' in message ? message.id : undefined);
  void Promise.all(Array.from({ length: count }, (_, id) => server.send({ jsonrpc: '2.0', id, result: {} })));
  await server.close();
  await closed.promise;
  assert.deepEqual(
    received,
    Array.from({ length: count }, (_, id) => id),
  );
});

async function microtasks(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await Promise.resolve();
}
