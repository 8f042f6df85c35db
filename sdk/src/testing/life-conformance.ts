import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { turns } from './case.ts';
import { sides } from './conformance-session.ts';
import { type ConformanceCase, conformanceCase, onPair, onSession, type Subject } from './conformance-test.ts';
import { createClient, createServer, type McpSdk } from './mcp-sdk.ts';

/** Every method of the SDK's classes, to see whether it is another one later. */
function methodsOf(sdk: McpSdk): Map<string, unknown> {
  const methods = new Map<string, unknown>();
  for (const { prototype } of [sdk.Client, sdk.McpServer]) {
    for (let at: object | null = prototype as object; at && at !== Object.prototype; at = protoOf(at)) {
      for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
        methods.set(`${at.constructor.name}.${name}`, value);
      }
    }
  }
  return methods;
}
const protoOf = (object: object): object | null => Object.getPrototypeOf(object) as object | null;

/** Tests 1, 6 and 7 of the draft: how a transport begins and ends. */
export const lifeConformance = (subject: Subject): ConformanceCase[] => [
  conformanceCase('third-party-replacement', async () => {
    const { sdk, makePair, patienceMs } = subject;
    const before = methodsOf(sdk);
    await onPair({ ...subject, makePair }, async ({ pair, soon }) => {
      const client = createClient(sdk);
      const server = createServer(sdk);
      await soon(Promise.all([server.connect(pair.server), client.connect(pair.client)]), 'connect() of both SDKs');
      await soon(client.callTool({ name: 'greet' }), 'a result');
      assert.deepEqual(methodsOf(sdk), before, 'the transport replaced a method of the SDK');
      await soon(client.close(), `close() of the client within ${patienceMs} ms`);
      await soon(server.close(), 'close() of the server');
    });
    assert.deepEqual(methodsOf(sdk), before, 'the transport replaced a method of the SDK');
  }),

  conformanceCase('transport-failure', () =>
    onSession(subject, async ({ client, handlers, ask }, ends) => {
      const { pair, soon } = ends;
      const { fail = ({ server }) => server.close() } = subject.options;
      handlers.server.set('test.example/wait', () => new Promise(() => {}));
      const told = Promise.withResolvers<void>();
      client.onclose = () => told.resolve();
      client.onerror = () => told.resolve();
      const pending = ask('client', 'test.example/wait', {}).then(
        () => assert.fail('a request succeeded that nobody answered'),
        (error: unknown) => error,
      );
      const received = ends.client.messages.length;
      await fail(pair);
      await soon(told.promise, 'onclose or onerror of the SDK after the carrier failed');
      assert.ok((await pending) instanceof Error);
      const since = ends.client.messages.slice(received);
      const made = since.filter((message) => 'error' in message && message.error);
      assert.deepEqual(made, [], 'the transport made a JSON-RPC error of a failure of the carrier');
      await ends.client.closed();
      await assert.rejects(ask('client', 'test.example/wait', {}));
    }),
  ),

  conformanceCase('close', async () => {
    for (const side of sides) {
      await onSession(subject, async (session, ends) => {
        const { pair, soon, client, server } = ends;
        const arrived = Promise.withResolvers<AbortSignal>();
        session.handlers.server.set('test.example/wait', (_, { signal }) => {
          arrived.resolve(signal);
          return new Promise(() => {});
        });
        const pending = session.ask('client', 'test.example/wait', {}).then(
          () => assert.fail('a request succeeded that nobody answered'),
          (error: unknown) => error,
        );
        const signal = await soon(arrived.promise, 'the request');
        await soon(session[side].close(), 'close()');
        for (const end of [client, server]) await end.closed();
        assert.ok((await pending) instanceof Error);
        assert.ok(signal.aborted, 'the handler of a request goes on behind the end of its session');
        const received = [client.messages.length, server.messages.length];
        for (const end of [client, server]) {
          const late = end.transport.send({ jsonrpc: '2.0', method: 'notifications/late' });
          await soon(assert.rejects(late, 'send() after the end did not reject'), 'send() after the end');
          await soon(end.transport.close(), 'close() after the end');
        }
        await turns();
        assert.deepEqual([client.messages.length, server.messages.length], received, 'a message came after the end');
        const { isReleased } = subject.options;
        const deadline = Date.now() + subject.patienceMs;
        while (isReleased && !isReleased(pair)) {
          assert.ok(Date.now() < deadline, 'close() did not release all that the pair held');
          await sleep(5);
        }
      });
    }
  }),
];
