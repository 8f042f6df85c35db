import assert from 'node:assert/strict';
import type { JsonRpcMessage } from '../link/message.ts';
import { deliveredAll } from './conformance-session.ts';
import { type ConformanceCase, conformanceCase, onPair, onSession, type Subject } from './conformance-test.ts';
import {
  clientInfo,
  createClient,
  createServer,
  progressTokenOf,
  resourceUri,
  serveModern,
  serverInfo,
} from './mcp-sdk.ts';
import { type Ends, upTo } from './transport-pair.ts';

const modern = '2026-07-28';
const unknownVersion = '1999-01-01';
const updates = 20;
const progressSteps = 150;

/** Sends a request without an SDK; resolves with the answer to it. */
async function exchange({ client, soon }: Ends, message: JsonRpcMessage & { id: number }): Promise<JsonRpcMessage> {
  const answers = () => client.messages.filter((received) => 'id' in received && received.id === message.id);
  await soon(client.transport.send(message), 'send()');
  await client.until(() => answers().length > 0, 'the answer');
  return answers()[0]!;
}

/** A client of the SDK and a server without one, which answers with this version. */
async function connectTo(version: (asked: unknown) => unknown, { pair, server, soon }: Ends) {
  const asked: unknown[] = [];
  server.reaction = (message) => {
    if (!('method' in message) || !('id' in message)) return;
    const requested = message.params?.['protocolVersion'];
    if (message.method === 'initialize') asked.push(requested);
    const result = { protocolVersion: version(requested), capabilities: {}, serverInfo };
    // What is not sent shows as a client that does not connect.
    server.transport.send({ jsonrpc: '2.0', id: message.id, result }).catch(() => {});
  };
  const told: string[] = [];
  const setProtocolVersion = pair.client.setProtocolVersion?.bind(pair.client);
  if (setProtocolVersion) {
    pair.client.setProtocolVersion = (used) => {
      told.push(used);
      setProtocolVersion(used);
    };
  }
  await soon(pair.server.start(), 'start() of the server').catch(() => {});
  return { asked, told };
}

/** What the draft recommends of versions and of answers that take long. */
export const versionConformance = (subject: Subject): ConformanceCase[] => [
  conformanceCase('protocol-version', async () => {
    const { sdk } = subject;
    const connected = (of: Ends) => of.soon(createClient(sdk).connect(of.pair.client), 'connect()');
    await onPair(subject, async (ends) => {
      const [{ asked, told }] = await Promise.all([connectTo((version) => version, ends), connected(ends)]);
      assert.equal(asked.length, 1);
      assert.match(String(asked[0]), /^\d{4}-\d\d-\d\d$/);
      if (ends.pair.client.setProtocolVersion) assert.deepEqual(told, asked);
    });
    await onPair(subject, async (ends) => {
      const connecting = connected(ends).then(
        () => assert.fail('a client took a protocol version that it does not know'),
        (error: unknown) => error,
      );
      await connectTo(() => unknownVersion, ends);
      assert.match(String(await connecting), new RegExp(unknownVersion));
      await ends.client.closed();
    });
    await onPair(subject, async (ends) => {
      const params = { protocolVersion: unknownVersion, capabilities: {}, clientInfo };
      await ends.soon(Promise.all([createServer(sdk).connect(ends.pair.server), ends.pair.client.start()]), 'start()');
      const answer = await exchange(ends, { jsonrpc: '2.0', id: 1, method: 'initialize', params });
      assert.ok('result' in answer, JSON.stringify(answer));
      assert.notEqual(answer.result['protocolVersion'], unknownVersion);
    });
    if (!sdk.serveStdio) return;
    await onPair(subject, async (ends) => {
      serveModern(sdk, () => createServer(sdk), ends.pair.server);
      await ends.soon(ends.pair.client.start(), 'start()');
      const envelope = {
        'io.modelcontextprotocol/protocolVersion': unknownVersion,
        'io.modelcontextprotocol/clientInfo': clientInfo,
        'io.modelcontextprotocol/clientCapabilities': {},
      };
      const answer = await exchange(ends, {
        jsonrpc: '2.0',
        id: 1,
        method: 'server/discover',
        params: { _meta: envelope },
      });
      assert.ok('error' in answer, JSON.stringify(answer));
      const { supported } = answer.error.data as { supported: string[] };
      assert.ok(supported.includes(modern), JSON.stringify(answer));
    });
  }),

  conformanceCase('long-lived-streams', async () => {
    await onSession(subject, async (session, ends) => {
      const { handlers, ask } = session;
      const halfway = Promise.withResolvers<void>();
      const goOn = Promise.withResolvers<void>();
      // Of what comes in one turn with the result of its request the SDKs drop the progress.
      const heardAll = Promise.withResolvers<void>();
      handlers.server.set('test.example/long', async (asked, { notify }) => {
        const progressToken = progressTokenOf(asked);
        for (const progress of upTo(progressSteps)) {
          if (progress === progressSteps / 2) {
            halfway.resolve();
            await goOn.promise;
          }
          await notify({ method: 'notifications/progress', params: { progressToken, progress } });
        }
        await heardAll.promise;
        return { done: true };
      });
      handlers.server.set('test.example/short', ({ params }) => params ?? {});
      const heard: number[] = [];
      const onprogress = ({ progress }: { progress: number }) => {
        if (heard.push(progress) === progressSteps) heardAll.resolve();
      };
      const long = ask('client', 'test.example/long', {}, { onprogress });
      long.catch(() => {}); // until it is waited for
      await ends.soon(halfway.promise, 'the first half');
      for (const n of upTo(20)) assert.equal((await ask('client', 'test.example/short', { n }))['n'], n);
      goOn.resolve();
      assert.deepEqual(await long, { done: true });
      await deliveredAll(session, ends);
      assert.deepEqual(heard, upTo(progressSteps));
    });
    await listens(subject);
  }),
];

/** `subscriptions/listen` of the protocol version 2026-07-28, where the SDK has it. */
async function listens(subject: Subject): Promise<void> {
  const { sdk } = subject;
  if (!sdk.serveStdio) return;
  await onPair(subject, async (ends) => {
    const { pair, soon } = ends;
    let server = createServer(sdk);
    serveModern(sdk, () => (server = createServer(sdk)), pair.server);
    const client = createClient(sdk, { versionNegotiation: { mode: { pin: modern } } });
    await soon(client.connect(pair.client), 'connect()');
    let heard = 0;
    const all = Promise.withResolvers<void>();
    client.fallbackNotificationHandler = async ({ method }) => {
      if (method === 'notifications/resources/updated' && ++heard === updates) all.resolve();
    };
    const subscription = await soon(client.listen!({ resourceSubscriptions: [resourceUri] }), 'the subscription');
    for (let n = 0; n < updates; n++) {
      await soon(server.server.sendResourceUpdated({ uri: resourceUri }), 'an update');
      if (n % 5 === 0) await soon(client.callTool({ name: 'greet' }), 'a result meanwhile');
    }
    await soon(all.promise, `updates, of which ${heard} of ${updates} came`);
    await soon(subscription.close(), 'the end of the subscription');
    await soon(client.callTool({ name: 'greet' }), 'a result behind the end of the subscription');
    await soon(server.server.sendResourceUpdated({ uri: resourceUri }), 'an update that nobody wants');
    await soon(client.callTool({ name: 'greet' }), 'a result behind that update');
    assert.equal(heard, updates);
    await soon(client.close(), 'close()');
  });
}
