import assert from 'node:assert/strict';
import { type ContractCase, contractCase, turns, within } from './case.ts';
import {
  End,
  type Ends,
  type MakePair,
  numbered,
  numbersOf,
  pairCase,
  refusal,
  type TransportContractOptions,
  upTo,
} from './transport-pair.ts';

export function lifeCases(makePair: MakePair, options: TransportContractOptions): ContractCase[] {
  const { patienceMs = 20_000, unreachable } = options;
  const fresh = (name: string, body: (ends: Ends) => Promise<void>) => pairCase(name, makePair, options, body);
  const connected = (name: string, body: (ends: Ends) => Promise<void>) =>
    fresh(name, async (ends) => {
      await ends.start();
      await body(ends);
    });

  return [
    connected('start() works once; a second one rejects and ends nothing', async ({ client, server, soon }) => {
      for (const { transport } of [client, server]) {
        await soon(
          refusal(() => transport.start(), 'a second start()'),
          'a second start()',
        );
      }
      await soon(client.transport.send(numbered(1)), 'send()');
      assert.deepEqual(await server.received(1), [numbered(1)]);
      assert.deepEqual([client.closes, server.closes], [0, 0]);
    }),

    fresh('nothing can be sent before start()', async ({ client, server, start, soon }) => {
      for (const { transport } of [client, server]) {
        await soon(
          refusal(() => transport.send(numbered(0)), 'send() before start()'),
          'send() before start()',
        );
      }
      await start();
      await soon(client.transport.send(numbered(1)), 'send()');
      assert.deepEqual(await server.received(1), [numbered(1)]);
    }),

    fresh('nothing is delivered before start(), and nothing is lost by that', async ({ client, server, soon }) => {
      const sent = client.transport.start().then(() => client.transport.send(numbered(1)));
      sent.catch(() => {}); // until it is waited for
      await turns();
      assert.deepEqual(server.messages, []);
      await soon(server.transport.start(), 'start()');
      await soon(sent, 'start() and send() of the other end');
      assert.deepEqual(await server.received(1), [numbered(1)]);
    }),

    fresh('what is sent in the moment in which start() resolves arrives', async ({ client, server, soon }) => {
      const sent = [client, server].map(({ transport }) => transport.start().then(() => transport.send(numbered(1))));
      await soon(Promise.all(sent), 'start() and send()');
      for (const end of [client, server]) assert.deepEqual(await end.received(1), [numbered(1)]);
    }),

    ...(['client', 'server', 'client and server'] as const).map((who) =>
      connected(`close() of the ${who} ends both, and each is told once`, async ({ client, server, soon }) => {
        const ends = [client, server];
        const closing = ends.filter((end) => who.includes(end === client ? 'client' : 'server'));
        const twice = closing.flatMap(({ transport }) => [transport.close(), transport.close()]);
        await soon(Promise.all(twice), 'close()');
        for (const end of ends) await end.closed();
        for (const { transport } of ends) await soon(transport.close(), 'close() after the end');
        await turns();
        assert.deepEqual([client.closes, server.closes], [1, 1]);
      }),
    ),

    fresh('close() before start() is told once, and start() rejects from then on', async ({ client, soon }) => {
      await soon(client.transport.close(), 'close()');
      await soon(client.transport.close(), 'close() again');
      assert.equal(client.closes, 1);
      await soon(
        refusal(() => client.transport.start(), 'start() after close()'),
        'start() after close()',
      );
      assert.equal(client.closes, 1);
    }),

    fresh('close() while start() is under way ends it, and is told once', async ({ client, soon }) => {
      // Without a connection it may have succeeded.
      const started = client.transport.start().catch(() => {});
      await soon(client.transport.close(), 'close()');
      await soon(started, 'the end of start()');
      await turns();
      assert.equal(client.closes, 1);
      await soon(
        refusal(() => client.transport.send(numbered(1)), 'send() after close()'),
        'send()',
      );
    }),

    ...(['client', 'server'] as const).flatMap((who) =>
      [[1, 0] as const, [300, 16_000] as const].map(([count, size]) =>
        connected(
          `what the ${who} sent before close() arrives, and then the end: ${count} of ${size} bytes`,
          async (ends) => {
            const [from, to] = who === 'client' ? [ends.client, ends.server] : [ends.server, ends.client];
            const sent = upTo(count).map((n) => from.transport.send(numbered(n, 'x'.repeat(size))));
            await ends.soon(Promise.all([...sent, from.transport.close()]), 'the sends and close()');
            await to.closed();
            assert.deepEqual(numbersOf(to.messages), upTo(count));
            assert.equal(to.events.at(-1), 'close');
          },
        ),
      ),
    ),

    connected('close() leaves no send() waiting', async ({ client, server, soon }) => {
      const text = 'x'.repeat(100_000);
      const sent = upTo(40).map((n) => client.transport.send(numbered(n, text)));
      const settled = Promise.allSettled(sent);
      await soon(Promise.all([client.transport.close(), server.transport.close()]), 'close()');
      for (const outcome of await soon(settled, 'every send() to resolve or reject')) {
        if (outcome.status === 'rejected') await refusal(() => Promise.reject(outcome.reason), 'send()');
      }
    }),

    connected('nothing is delivered after onclose', async ({ client, server, soon }) => {
      // Shows as an end that does not come.
      client.reaction = () => void client.transport.close().catch(() => {});
      const sent = upTo(50).map((n) => server.transport.send(numbered(n)));
      await soon(Promise.allSettled(sent), 'the sends');
      await client.closed();
      await server.closed();
      await turns();
      assert.equal(client.events.indexOf('close'), client.events.length - 1, 'a message came after onclose');
      assert.deepEqual([client.closes, server.closes], [1, 1]);
    }),

    connected('nothing can be sent after the end, from either side', async ({ client, server, soon }) => {
      await soon(client.transport.close(), 'close()');
      await server.closed();
      for (const { transport } of [client, server]) {
        await soon(
          refusal(() => transport.send(numbered(1)), 'send() after the end'),
          'send()',
        );
      }
    }),

    ...(unreachable
      ? [
          contractCase('a start() that fails rejects, and onclose is called once', async () => {
            const end = new End(await unreachable(), patienceMs);
            const { transport } = end;
            const soon = <T>(promise: Promise<T>, what: string) => within(promise, what, patienceMs);
            // Without onclose the MCP SDK v1 says "Already connected" of the next transport, too.
            await soon(
              refusal(() => transport.start(), 'start()'),
              'start() to fail',
            );
            await end.closed();
            await soon(
              refusal(() => transport.send(numbered(1)), 'send()'),
              'send()',
            );
            await soon(transport.close(), 'close()');
            await turns();
            assert.equal(end.closes, 1);
          }),
        ]
      : []),
  ];
}
