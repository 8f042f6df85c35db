import assert from 'node:assert/strict';
import { channel } from 'node:diagnostics_channel';
import { isDeepStrictEqual } from 'node:util';
import type { JsonRpcMessage } from '../link/message.ts';
import { connectSdks, type McpSession, plain, sides } from './conformance-session.ts';
import { type ConformanceCase, conformanceCase, onPair, onSession, type Subject } from './conformance-test.ts';
import { loopbackPair } from './loopback.ts';
import { createClient, createServer, progressTokenOf, resourceUri } from './mcp-sdk.ts';
import type { ContractTransport, Ends } from './transport-pair.ts';

/** Each feature of the SDK that is the same in v1 and v2, and what the callers were given. */
async function tour({ client, server, ask }: McpSession, { soon }: Ends): Promise<unknown[]> {
  const steps: [string, () => Promise<unknown>][] = [
    ['ping', () => client.ping()],
    ['tools', () => client.listTools()],
    ['a tool', () => client.callTool({ name: 'greet' })],
    ['a tool that fails', () => client.callTool({ name: 'fail' })],
    ['a tool that throws', () => client.callTool({ name: 'throw' })],
    ['an unknown tool', () => client.callTool({ name: 'unknown' })],
    ['resources', () => client.listResources()],
    ['a resource', () => client.readResource({ uri: resourceUri })],
    ['an unknown resource', () => client.readResource({ uri: `${resourceUri}/unknown` })],
    ['prompts', () => client.listPrompts()],
    ['a prompt', () => client.getPrompt({ name: 'prompt' })],
    ['roots', () => ask('server', 'roots/list', {})],
    ['an unknown method of the client', () => ask('server', 'test.example/unknown', {})],
    ['an unknown method of the server', () => ask('client', 'test.example/unknown', {})],
    ['an update', () => server.server.sendResourceUpdated({ uri: resourceUri })],
  ];
  const given: unknown[] = [client.getServerVersion(), client.getServerCapabilities()];
  for (const [name, step] of steps) {
    const outcome = await soon(
      step().then(
        (result) => ({ result }),
        (error: unknown) => ({ error: String(error), code: (error as { code?: unknown }).code }),
      ),
      name,
    );
    given.push([name, plain(outcome)]);
  }
  return given;
}

/** Only what the interface has, so that nothing else can be used. */
class Bare implements ContractTransport {
  onmessage?: ContractTransport['onmessage'];
  onclose?: (() => void) | undefined;
  onerror?: ((error: Error) => void) | undefined;
  readonly #within: ContractTransport;

  constructor(within: ContractTransport) {
    this.#within = within;
    within.onmessage = (message) => this.onmessage?.(message);
    within.onclose = () => this.onclose?.();
    within.onerror = (error) => this.onerror?.(error);
  }

  start = (): Promise<void> => this.#within.start();
  send = (message: JsonRpcMessage): Promise<void> => this.#within.send(message);
  close = (): Promise<void> => this.#within.close();
}

/** Members of a transport, or of what it passes on with a message, that only HTTP has. */
const ofHttp =
  /http|HTTP|Http|[Hh]eader|[Ss]tatusCode|SSE|[Ee]ventSource|[Ll]astEvent|[Rr]esumption|[Rr]equestIn(?:fo|it)|[Pp]erRequestStream/;

function publicNames(object: object): string[] {
  const names: string[] = [];
  for (let at: object | null = object; at && at !== Object.prototype; at = Object.getPrototypeOf(at) as object | null) {
    names.push(...Object.getOwnPropertyNames(at));
  }
  return names.filter((name) => !name.startsWith('_'));
}

/** Told for each request over HTTP of this process, whatever module it is made with. */
const httpRequests = ['http.client.request.start', 'http.server.request.start', 'undici:request:create'];

/** Tests 8 to 10 of the draft: what is between the SDK and the transport. */
export const reuseConformance = (subject: Subject): ConformanceCase[] => [
  conformanceCase('no-http-dependency', () =>
    onPair(subject, async (ends) => {
      const { pair, soon } = ends;
      const named = sides.flatMap((side) => publicNames(pair[side]));
      assert.deepEqual(
        named.filter((name) => ofHttp.test(name)),
        [],
        'the transport has members that only HTTP has',
      );
      assert.equal(pair.client.sessionId, undefined, 'a session has a name before its handshake');
      const extras: object[] = [];
      const client = createClient(subject.sdk);
      const server = createServer(subject.sdk);
      const bare = { client: new Bare(pair.client), server: new Bare(pair.server) };
      for (const side of sides) {
        const { onmessage } = pair[side];
        pair[side].onmessage = (message, extra) => {
          if (typeof extra === 'object' && extra) extras.push(extra);
          onmessage?.(message, extra);
        };
      }
      await soon(Promise.all([server.connect(bare.server), client.connect(bare.client)]), 'connect() of both SDKs');
      let requests = 0;
      const count = () => void requests++;
      // The carrier may have been established over HTTP; messages are not.
      for (const name of httpRequests) channel(name).subscribe(count);
      try {
        for (let n = 0; n < 3; n++) await soon(client.callTool({ name: 'greet' }), 'a result');
      } finally {
        for (const name of httpRequests) channel(name).unsubscribe(count);
      }
      assert.equal(requests, 0, 'messages went over HTTP');
      const passedOn = extras.flatMap((extra) => Object.entries(extra));
      assert.deepEqual(
        passedOn.flatMap(([name, value]) => (value !== undefined && ofHttp.test(name) ? [name] : [])),
        [],
        'what comes with a message is of HTTP',
      );
    }),
  ),

  conformanceCase('protocol-reuse', async () => {
    const walk = (of: Subject) => {
      let walked: unknown;
      return onPair(of, async (ends) => {
        const session = await connectSdks(of.sdk, ends, of.patienceMs);
        const given = await tour(session, ends);
        await session.fence();
        const messages = sides.map((side) => session.sent[side].map(({ message }) => message));
        const received = sides.map((side) => plain(ends[side].messages));
        walked = { given, messages, received };
      }).then(() => walked);
    };
    const expected = await walk({ ...subject, makePair: loopbackPair });
    assert.deepEqual(await walk(subject), expected, 'the SDK does something else than over a transport in memory');
  }),

  conformanceCase('opaque-context', () =>
    onSession(subject, async (session, ends) => {
      const { handlers, sent, ask } = session;
      const rounds = 5;
      let inside = 0;
      const overlap = Promise.withResolvers<void>();
      const turn = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
      turn[0].resolve();
      const contexts = new Map<unknown, unknown>();
      const heard: unknown[][] = [[], []];
      // Of what comes in one turn with the result of its request the SDKs drop the progress.
      const heardAll = [Promise.withResolvers<void>(), Promise.withResolvers<void>()] as const;
      handlers.server.set('test.example/progress', async (asked, { id, notify, authInfo }) => {
        contexts.set(id, authInfo);
        if (++inside === 2) overlap.resolve();
        await overlap.promise;
        const which = Number(asked.params?.['which']);
        await turn[which]!.promise;
        const progressToken = progressTokenOf(asked);
        for (let progress = 1; progress <= rounds; progress++) {
          await notify({ method: 'notifications/progress', params: { progressToken, progress, message: `${which}` } });
        }
        turn[1].resolve();
        await heardAll[which]!.promise;
        return { which };
      });
      const results = [0, 1].map((which) => {
        const onprogress = ({ progress, message }: { progress: number; message?: string | undefined }) => {
          if (heard[which]!.push([progress, message]) === rounds) heardAll[which]!.resolve();
        };
        return ask('client', 'test.example/progress', { which }, { onprogress });
      });
      assert.deepEqual(await ends.soon(Promise.all(results), 'both results'), [{ which: 0 }, { which: 1 }]);
      await session.fence();
      for (const which of [0, 1]) {
        const all = Array.from({ length: rounds }, (_, n) => [n + 1, `${which}`]);
        assert.deepEqual(heard[which], all, 'progress came to another request than its own, or not at all');
      }
      // What the SDK said of a message went with it to the carrier, and never into the message.
      const related = sent.server.filter(({ options }) => options?.relatedRequestId !== undefined);
      assert.equal(related.length, 2 * rounds);
      for (const { message, options } of related) {
        const at = ends.client.messages.findIndex((received) => isDeepStrictEqual(plain(received), message));
        assert.notEqual(at, -1, 'a message with a context is not what was sent');
        const { relatedRequestId = options?.relatedRequestId } = (ends.client.extras[at] ?? {}) as {
          relatedRequestId?: unknown;
        };
        assert.equal(relatedRequestId, options?.relatedRequestId, 'the context is that of another request');
      }
      // What the transport says of who sent a request is what its handler is given.
      for (const [n, message] of ends.server.messages.entries()) {
        if (!('id' in message) || !contexts.has(message.id)) continue;
        const { authInfo } = (ends.server.extras[n] ?? {}) as { authInfo?: unknown };
        assert.deepEqual(contexts.get(message.id), authInfo);
      }
    }),
  ),
];
