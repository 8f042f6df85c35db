import assert from 'node:assert/strict';
import type { JsonRpcMessage } from '../link/message.ts';
import type { ContractCase } from './case.ts';
import {
  type Ends,
  type MakePair,
  numbered,
  numbersOf,
  pairCase,
  type TransportContractOptions,
  upTo,
} from './transport-pair.ts';

/**
 * What a message has to survive: escapes, what ends lines somewhere, two and four bytes a
 * character, half a character.
 */
const awkward = [
  '',
  'grüß Gott',
  '\u{1f44b}\u{1f3fd}',
  '\0\t\r\n\b"\\',
  '\u2028\u2029\u0085\ufeff',
  '\ud800',
  'data: 1\n\n',
];

const everyForm: JsonRpcMessage[] = [
  { jsonrpc: '2.0', id: 0, method: 'test/request', params: { awkward, [awkward[1]!]: [null, true, -1.5e-9, {}] } },
  { jsonrpc: '2.0', id: 'a string', method: 'test/request' },
  { jsonrpc: '2.0', method: 'notifications/test' },
  { jsonrpc: '2.0', method: 'notifications/test', params: { _meta: { progressToken: 0 }, text: awkward.join('') } },
  { jsonrpc: '2.0', id: 0, result: {} },
  { jsonrpc: '2.0', id: 'a string', result: { awkward } },
  { jsonrpc: '2.0', id: 1, error: { code: -32_601, message: awkward.join(), data: { awkward } } },
];

export function messageCases(makePair: MakePair, options: TransportContractOptions): ContractCase[] {
  const { largeBytes = 1_000_000, carriesRelatedRequestId = false, sendJunk } = options;
  const connected = (name: string, body: (ends: Ends) => Promise<void>): ContractCase =>
    pairCase(name, makePair, options, async (ends) => {
      await ends.start();
      await body(ends);
    });

  return [
    connected('messages of every form arrive unchanged, both ways', async ({ client, server, soon }) => {
      for (const [from, to] of both(client, server)) {
        for (const message of everyForm) await soon(from.transport.send(message), 'send()');
        assert.deepEqual(await to.received(everyForm.length), everyForm);
      }
    }),

    connected('sends that do not wait for each other keep their order', async ({ client, server, soon }) => {
      const sizes = upTo(200).map((n) => (n % 20 === 0 ? 20_000 : n));
      for (const [from, to] of both(client, server)) {
        const sent = sizes.map((size, n) => from.transport.send(numbered(n, 'x'.repeat(size))));
        await soon(Promise.all(sent), 'the sends');
        assert.deepEqual(numbersOf(await to.received(sizes.length)), upTo(sizes.length));
      }
    }),

    connected(`a message of ${largeBytes} bytes passes in its turn, both ways at once`, async (ends) => {
      const { client, server, soon } = ends;
      const large = '€'.repeat(Math.floor((largeBytes - 200) / 3)); // less the JSON around it
      const messages = [numbered(0), numbered(1, large), numbered(2)];
      const sent = [client, server].flatMap(({ transport }) => messages.map((message) => transport.send(message)));
      await Promise.all([soon(Promise.all(sent), 'the sends'), client.received(3), server.received(3)]);
      for (const end of [client, server]) assert.deepEqual(end.messages, messages);
    }),

    connected('a handler may send: fifty round trips', async ({ client, server, soon }) => {
      const reply = ({ transport }: typeof client) => {
        return (message: JsonRpcMessage) => {
          const n = 'id' in message ? Number(message.id) : 0;
          // Shows as a message that does not come.
          if (n < 100) transport.send(numbered(n + 1)).catch(() => {});
        };
      };
      client.reaction = reply(client);
      server.reaction = reply(server);
      await soon(client.transport.send(numbered(1)), 'send()');
      await server.until(() => server.messages.length === 50, 'the last of fifty round trips');
      assert.deepEqual(
        numbersOf(server.messages),
        upTo(50).map((n) => 2 * n + 1),
      );
    }),

    pairCase('two pairs do not hear each other', makePair, options, async ({ client, server, start, soon }, scope) => {
      const other = await makePair();
      const ends = [other.client, other.server];
      scope.after(async () => {
        await Promise.allSettled(ends.map((transport) => soon(transport.close(), 'close()')));
        await other.release?.();
      });
      const strangers: JsonRpcMessage[] = [];
      for (const transport of ends) transport.onmessage = (message) => strangers.push(message);
      await Promise.all([start(), ...ends.map((transport) => soon(transport.start(), 'start()'))]);
      await soon(other.client.send(numbered(7)), 'send()');
      await soon(client.transport.send(numbered(1)), 'send()');
      await soon(server.transport.send(numbered(2)), 'send()');
      assert.deepEqual(await server.received(1), [numbered(1)]);
      assert.deepEqual(await client.received(1), [numbered(2)]);
      await soon(other.client.close(), 'close()');
      await soon(client.transport.send(numbered(3)), 'send() after the other pair was closed');
      assert.deepEqual(await server.received(2), [numbered(1), numbered(3)]);
      assert.deepEqual([client.closes, server.closes], [0, 0]);
      assert.ok(strangers.every((message) => 'id' in message && message.id === 7));
    }),

    connected('what JSON cannot say harms nothing else', async ({ client, server, soon }) => {
      const endless: Record<string, unknown> = {};
      endless['self'] = endless;
      for (const params of [endless, { big: 1n }]) {
        const sending = client.transport.send({ jsonrpc: '2.0', id: 1, method: 'test/odd', params });
        // Within one process it may even arrive.
        const thrown = await soon(
          sending.then(
            () => undefined,
            (error: unknown) => error,
          ),
          'send()',
        );
        assert.ok(!(thrown instanceof TypeError), 'send() rejected with a TypeError, which has a meaning of its own');
      }
      await soon(client.transport.send(numbered(2)), 'send()');
      await server.until(() => numbersOf(server.messages).includes(2), 'the message behind it');
      assert.equal(client.closes + server.closes, 0);
    }),

    connected("the options of the MCP SDKs' send() are taken", async ({ client, server, soon }) => {
      const related = { relatedRequestId: 'the request' };
      await soon(server.transport.send(numbered(1), related), 'send()');
      await soon(server.transport.send(numbered(2), {}), 'send()');
      await soon(server.transport.send(numbered(3), { relatedRequestId: undefined }), 'send()');
      assert.deepEqual(numbersOf(await client.received(3)), [1, 2, 3]);
      if (!carriesRelatedRequestId) return;
      const carried = client.extras.map((extra) => (extra as typeof related | undefined)?.relatedRequestId);
      assert.deepEqual(carried, ['the request', undefined, undefined]);
    }),

    ...(sendJunk
      ? [
          connected('junk is reported to onerror, and nothing else happens', async (ends) => {
            const { pair, client, server, soon } = ends;
            await sendJunk(pair);
            await server.until(() => server.errors.length > 0, 'onerror');
            assert.ok(server.errors.every((error) => error instanceof Error));
            // Nobody has to listen.
            server.transport.onerror = undefined;
            await sendJunk(pair);
            await soon(client.transport.send(numbered(1)), 'send()');
            await soon(server.transport.send(numbered(2)), 'send()');
            assert.deepEqual(await server.received(1), [numbered(1)]);
            await client.until(() => numbersOf(client.messages).includes(2), 'a message the other way');
            assert.deepEqual([client.closes, server.closes], [0, 0]);
          }),
        ]
      : []),
  ];
}

/** From the client to the server, and back. */
const both = <T>(client: T, server: T): [T, T][] => [
  [client, server],
  [server, client],
];
