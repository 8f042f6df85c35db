import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { afterEach, before, suite, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { context, type Link, SpanStatusCode, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import {
  type DiagnosticEvent,
  type DiagnosticHandler,
  listen,
  MemorySignaling,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { sessionTracing } from 'mcp-rendezvous/opentelemetry';
import { testToken } from '../../server/test/support/peer.ts';
import { RelayProcess } from '../../test/support/relay.ts';
import { eventually } from '../../test/support/wait.ts';

const exporter = new InMemorySpanExporter();
const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] });
const tracer = provider.getTracer('test');
const spans = (name?: string): ReadableSpan[] =>
  exporter.getFinishedSpans().filter((span) => name === undefined || span.name === `mcp_rendezvous.${name}`);
const names = (): Set<string> => new Set(spans().map(({ name }) => name.replace('mcp_rendezvous.', '')));
const millis = ([seconds, nanos]: [number, number]): number => seconds * 1000 + nanos / 1e6;

const traceId = '0af7651916cd43dd8448eb211c80319c';
const traceparent = `00-${traceId}-b7ad6b7169203331-01`;
const ping = (meta: object = {}) => ({ jsonrpc: '2.0', id: 1, method: 'ping', params: { _meta: meta } }) as const;

before(() => {
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
});
afterEach(() => exporter.reset());

void suite('spans of sessions through a relay', () => {
  /** Sessions of a client and of a listener, which are over when it resolves. */
  const session = async (t: TestContext, meta: object, start: (begin: () => Promise<void>) => Promise<void>) => {
    const relay = await RelayProcess.start();
    t.after(() => relay.stop());
    const token = (role: 'server' | 'client') => testToken({ room: 'traced', role });
    const traced = await sessionTracing({ tracer });
    const received = Promise.withResolvers<void>();
    const told: DiagnosticEvent[] = [];
    const handler = traced();
    const listener = await listen(
      { relay: relay.ws, token: await token('server'), ondiagnostic: traced() },
      (transport) => {
        transport.onmessage = () => received.resolve();
        return transport.start();
      },
    );
    t.after(() => listener.close());
    const client = new WebRTCClientTransport({
      relay: relay.ws,
      token: await token('client'),
      ondiagnostic: (event) => {
        told.push(event);
        handler(event);
      },
    });
    await start(() => client.start());
    await client.send(ping(meta));
    await received.promise;
    await eventually(() => told.some((event) => event.type === 'path_changed' && event.path === 'direct'));
    await client.close();
    await eventually(() => spans('session').length === 2);
    const ofRole = (name: string, role: string) => {
      const top = spans('session').find(({ attributes }) => attributes['mcp_rendezvous.role'] === role);
      return name === 'session'
        ? top
        : spans(name).find((span) => span.parentSpanContext?.spanId === top?.spanContext().spanId);
    };
    return { ofRole };
  };

  test('a session with its join, negotiation and paths; the parent is the active span, and at the server the message names it', async (t) => {
    const parent = tracer.startSpan('the application');
    const { ofRole } = await session(t, { traceparent }, (begin) =>
      context.with(trace.setSpan(context.active(), parent), begin),
    );
    parent.end();
    assert.deepEqual(names(), new Set(['session', 'join', 'negotiation', 'path', 'the application']));
    const own = ofRole('session', 'client');
    assert.equal(own?.parentSpanContext?.spanId, parent.spanContext().spanId);
    for (const name of ['join', 'negotiation', 'path']) {
      const span = ofRole(name, 'client');
      assert.ok(span && own, name);
      assert.ok(
        millis(span.startTime) >= millis(own.startTime) && millis(span.endTime) <= millis(own.endTime) + 1,
        name,
      );
    }
    assert.equal(own?.attributes['mcp_rendezvous.room'], 'traced');
    assert.equal(own?.attributes['mcp_rendezvous.mode'], 'framed');
    assert.ok(own?.events.some(({ name }) => name === 'session_open'));
    const paths = new Set(spans('path').map(({ attributes }) => attributes['mcp_rendezvous.path']));
    assert.ok(paths.has('direct'), [...paths].join());
    // What the message names is another trace than the active one, so that it is linked.
    assert.deepEqual(
      own?.links.map(({ context: linked }: Link) => linked.traceId),
      [traceId],
    );
    assert.equal(spans('session').filter((span) => span.spanContext().traceId === traceId).length, 1);
    const server = spans('session').find((span) => span.spanContext().traceId === traceId);
    assert.equal(server?.parentSpanContext?.spanId, 'b7ad6b7169203331');
    assert.equal(server?.parentSpanContext?.isRemote, true);
    assert.ok(spans().every(({ status }) => status.code === SpanStatusCode.UNSET));
    // The listener joined by itself, below nothing.
    assert.equal(spans('join').filter((span) => span.parentSpanContext === undefined).length, 1);
  });
});

for (const [name, wrong] of [
  ['no traceparent', undefined],
  ['one of zeros', `00-${'0'.repeat(32)}-b7ad6b7169203331-01`],
  ['one of an invalid version', traceparent.replace('00', 'ff')],
] as const) {
  test(`a first message with ${name}: the session is a trace of its own`, async () => {
    const handler = (await sessionTracing({ tracer }))();
    const at = performance.now();
    handler({ type: 'state', state: 'connecting', peer: 'p-1', at });
    handler({ type: 'first_message', side: 'remote', ...(wrong && { traceparent: wrong }), peer: 'p-1', at });
    handler({ type: 'state', state: 'closed', peer: 'p-1', at });
    assert.deepEqual(
      spans('session').map(({ parentSpanContext }) => parentSpanContext),
      [undefined],
    );
  });
}

test('over signaling of its own there is no join', async (t) => {
  const traced = await sessionTracing({ tracer });
  const [left, right] = MemorySignaling.pair();
  const told: string[] = [];
  const handler = traced();
  const client = new WebRTCClientTransport({
    signaling: left,
    ondiagnostic: (event) => {
      told.push(event.type);
      handler(event);
    },
  });
  const server = new WebRTCServerTransport({ signaling: right });
  t.after(() => Promise.all([client.close(), server.close()]));
  await Promise.all([client.start(), server.start()]);
  await eventually(() => told.includes('path_changed'));
  await client.close();
  await eventually(() => names().has('session'));
  assert.deepEqual(names(), new Set(['session', 'negotiation', 'path']));
});

test('a session that does not open is an error', async () => {
  const traced = await sessionTracing({ tracer });
  const token = await testToken({ room: 'nowhere', role: 'client' });
  const client = new WebRTCClientTransport({
    relay: 'ws://127.0.0.1:1',
    token,
    connectTimeoutMs: 50,
    ondiagnostic: traced(),
  });
  await assert.rejects(client.start());
  assert.deepEqual(
    spans().map(({ name, status }) => [name, status.code]),
    [['mcp_rendezvous.session', 2]],
  );
});

test('a cut is a recovery, and the same path that is told again is one span', async () => {
  const handler: DiagnosticHandler = (await sessionTracing({ tracer }))();
  const start = performance.now();
  const steps: Record<string, unknown>[] = [
    { type: 'state', state: 'connecting' },
    { type: 'offer_sent' },
    { type: 'connection', state: 'failed', iceState: 'failed' },
    { type: 'session_open', mode: 'framed' },
    { type: 'state', state: 'connected' },
    { type: 'first_message', side: 'local' },
    { type: 'path_changed', path: 'relayed' },
    { type: 'path_changed', path: 'relayed' },
    { type: 'state', state: 'recovering' },
    { type: 'state', state: 'connected' },
    { type: 'path_changed', path: 'turn', protocol: 'udp', localCandidateType: 'relay' },
    { type: 'state', state: 'recovering' },
    { type: 'state', state: 'closed' },
  ];
  for (const [index, step] of steps.entries()) handler({ ...step, at: start + index } as DiagnosticEvent);
  const found = spans().map(({ name, status, startTime, endTime }) => [
    name.replace('mcp_rendezvous.', ''),
    Math.round(millis(endTime) - millis(startTime)),
    status.code,
  ]);
  assert.deepEqual(found, [
    ['negotiation', 1, 2],
    ['path', 2, 0],
    ['recovery', 1, 0],
    ['path', 1, 0],
    ['recovery', 1, 2],
    ['session', 12, 0],
  ]);
});

test('without the package the handlers do nothing, and importing the module loads nothing', async () => {
  const code = `
    import { registerHooks } from 'node:module';
    registerHooks({
      resolve(name, ...rest) {
        if (name !== '@opentelemetry/api') return rest[1](name, rest[0]);
        throw Object.assign(new Error('not installed'), { code: 'ERR_MODULE_NOT_FOUND' });
      },
    });
    const { sessionTracing } = await import('mcp-rendezvous/opentelemetry');
    const handler = (await sessionTracing())();
    handler({ type: 'state', state: 'connecting', at: 0 });
    console.log('nothing');`;
  const args = ['--conditions=mcp-rendezvous-source', '--input-type=module', '--eval', code];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: import.meta.dirname });
  assert.equal(stdout, 'nothing\n');
});
