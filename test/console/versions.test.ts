import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { decide, VersionError } from '../../console/src/mcp/negotiate.ts';
import { type Message, RpcError } from '../../console/src/rpc/rpc.ts';
import { Trace } from '../../console/src/rpc/trace.ts';
import { full } from '../support/full.ts';
import { eventually } from '../support/wait.ts';
import {
  begin,
  both,
  byHand,
  legacyOnly,
  methods,
  modernOnly,
  never,
  open,
  question,
  textOf,
  version,
} from './support/session-world.ts';

suite('which version is spoken', () => {
  test('the newest one that both speak, or the one that is chosen', async (t) => {
    assert.equal(version(await open(t, both)), '2026-07-28');
    assert.equal(version(await open(t, both, '2026-07-28')), '2026-07-28');
    const pinned = await open(t, both, '2025-11-25');
    assert.equal(version(pinned), '2025-11-25');
    assert.equal(methods(pinned)[0], 'initialize');
    const legacy = await open(t, legacyOnly);
    assert.equal(version(legacy), '2025-11-25');
    assert.deepEqual(methods(legacy).slice(0, 3), ['server/discover', 'initialize', 'notifications/initialized']);
    assert.equal(version(await open(t, modernOnly)), '2026-07-28');
  });

  test('none in common is named, with what to do', async (t) => {
    await assert.rejects(open(t, legacyOnly, '2026-07-28'), {
      code: 'unsupported_version',
      message: /does not speak 2026-07-28.*--discover/,
    });
    await assert.rejects(open(t, modernOnly, '2025-11-25'), {
      code: 'unsupported_version',
      message: /speaks 2026-07-28; 2025-11-25 was chosen here/,
    });
  });

  test('a server that says nothing before initialize is one of before', async (t) => {
    const world = begin(t, (end) => {
      end.onmessage = ({ id, method }) => {
        if (method !== 'initialize') return;
        const result = { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 'quiet', version: '1' } };
        void end.send({ jsonrpc: '2.0', id, result });
      };
    });
    // AbortSignal.timeout() takes no clock from outside: the wait is cut short through its signal.
    const timeout = t.mock.method(AbortSignal, 'timeout', () => AbortSignal.abort(new Error('too late')));
    await world.session.open('automatic', never);
    assert.equal(timeout.mock.callCount(), 1);
    assert.equal(version(world), '2025-11-25');
  });

  test('what an answer to server/discover means', () => {
    const modern = { supportedVersions: ['2027-01-01', '2026-07-28'] };
    assert.equal(decide('automatic', { result: modern }), modern);
    assert.equal(decide('2026-07-28', { result: modern }), modern);
    const older = { supportedVersions: ['2025-11-25'] };
    assert.equal(decide('automatic', { result: older }), undefined);
    assert.throws(() => decide('2026-07-28', { result: older }), VersionError);
    const unsupported = (supported: unknown) => ({ error: new RpcError(-32_022, 'no', { supported }) });
    assert.equal(decide('automatic', unsupported(['2027-01-01', '2025-06-18'])), undefined);
    assert.throws(() => decide('automatic', unsupported(['2027-01-01'])), /speaks 2027-01-01; this console speaks/);
    assert.throws(() => decide('automatic', unsupported(undefined)), VersionError);
    for (const error of [new RpcError(-32_601, 'x'), new RpcError(-32_602, 'x'), new RpcError(-32_000, 'x')]) {
      assert.equal(decide('automatic', { error }), undefined);
      assert.throws(() => decide('2026-07-28', { error }), VersionError);
    }
    fc.assert(
      fc.property(fc.constantFrom('automatic', '2026-07-28'), fc.anything(), (choice, result) => {
        try {
          const decided = decide(choice, { result });
          assert.ok(decided === undefined || decided === result);
        } catch (error) {
          assert.ok(error instanceof VersionError);
        }
      }),
    );
  });
});

suite('2026-07-28', () => {
  test('each request carries its version, the client and what it can do; and the trace shows it', async (t) => {
    const world = await open(t, both);
    await world.session.callTool('echo', { text: 'hello' }, {});
    const requests = world.sent.filter(({ from, message }) => from === 'client' && message.id !== undefined);
    assert.ok(requests.length > 4);
    for (const { message } of requests) {
      const { _meta: meta } = message.params as { _meta: Record<string, unknown> };
      assert.equal(meta['io.modelcontextprotocol/protocolVersion'], '2026-07-28');
      assert.ok(meta['io.modelcontextprotocol/clientInfo']);
      assert.deepEqual(Object.keys(meta['io.modelcontextprotocol/clientCapabilities'] as object).toSorted(), [
        'elicitation',
        'extensions',
        'roots',
        'sampling',
      ]);
    }
    assert.equal(
      world.sent.some(({ from, message }) => from === 'client' && message.method === undefined),
      false,
    );
  });

  test('what the server needs is answered by hand, and the request is repeated', async (t) => {
    const { session, sent } = await open(t, both);
    const rounds: number[] = [];
    const call = session.callTool('rounds', {}, { onround: (round) => rounds.push(round) });
    (await question(session)).answer({ action: 'accept', content: { name: 'Ada' } });
    await eventually(() => rounds.length === 2, 30_000, 'the second round');
    (await question(session)).answer({ action: 'accept', content: { name: 'Lovelace' } });
    assert.equal(textOf(await call), 'Ada Lovelace');
    assert.deepEqual(rounds, [1, 2]);
    const calls = sent.filter(({ message }) => message.method === 'tools/call').map(({ message }) => message);
    assert.equal(new Set(calls.map(({ id }) => id)).size, 3);
    assert.deepEqual(
      calls.map(({ params }) => (params as Record<string, unknown>)['requestState']),
      [undefined, 'first', 'Ada'],
    );

    const sampling = session.callTool('ask-sampling', {}, {});
    const sampled = await question(session);
    assert.equal(sampled.kind, 'sampling');
    sampled.answer({ role: 'assistant', content: { type: 'text', text: 'Because.' }, model: 'by hand' });
    assert.match(String(textOf(await sampling)), /Because/);
    const roots = session.callTool('ask-roots', {}, {});
    const folders = await question(session);
    assert.equal(folders.kind, 'roots');
    folders.answer({ roots: [{ uri: 'file:///home/ada', name: 'ada' }] });
    assert.match(String(textOf(await roots)), /file:\/\/\/home\/ada/);
    const prompt = session.getPrompt('greet', {});
    (await question(session)).answer({ action: 'accept', content: { name: 'Ada' } });
    assert.match(JSON.stringify(await prompt), /Hello, Ada/);
  });

  test('who refuses or cancels sends nothing more, and no question stays', async (t) => {
    const { session, sent } = await open(t, both);
    const refusing = session.callTool('ask-sampling', {}, {});
    (await question(session)).refuse('no');
    await assert.rejects(refusing, /You refused to answer/);
    const cancel = new AbortController();
    const cancelling = session.callTool('ask-elicitation', {}, { signal: cancel.signal });
    const asked = await question(session);
    cancel.abort(new Error('enough'));
    await assert.rejects(cancelling, /enough/);
    assert.equal(session.asks.waiting, 0);
    const before = sent.length;
    asked.answer({ action: 'accept', content: { name: 'too late' } });
    await new Promise(setImmediate);
    assert.equal(sent.length, before);
  });

  test('a server that asks without an end, or too much at once, is left alone', async (t) => {
    const states: unknown[] = [];
    const { session } = await open(
      t,
      byHand(({ params }) => {
        states.push((params as Record<string, unknown>)['requestState']);
        return { resultType: 'input_required', requestState: `${states.length}` };
      }),
    );
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let ended = '';
    void session.callTool('any', {}, {}).catch((error: unknown) => (ended = (error as Error).message));
    for (let n = 0; !ended && n < 1000; n++) {
      await new Promise(setImmediate);
      t.mock.timers.tick(250);
    }
    t.mock.timers.reset();
    assert.match(ended, /asked for input 50 times/);
    assert.deepEqual(states.slice(0, 3), [undefined, '1', '2']);
    assert.equal(states.length, 51);

    const questions = Array.from({ length: 11 }, (_, n) => [`q${n}`, { method: 'elicitation/create', params: {} }]);
    const flooding = await open(
      t,
      byHand(() => ({ resultType: 'input_required', inputRequests: Object.fromEntries(questions) as unknown })),
    );
    await assert.rejects(flooding.session.readResource('a://b'), /asks for 11 inputs at once; this console takes 10/);
    assert.equal(flooding.session.asks.waiting, 0);
    const novel = await open(
      t,
      byHand(() => ({ resultType: 'novel' })),
    );
    await assert.rejects(novel.session.callTool('any', {}, {}), /tools\/call with a result of the type "novel"/);
    await assert.rejects(novel.session.getPrompt('any', {}), /prompts\/get with a result of the type "novel"/);
  });

  test('subscriptions are acknowledged, counted by their id, and closed', async (t) => {
    const world = await open(t, both);
    const { session } = world;
    await eventually(() => session.listening!.all.value[0]?.agreed !== undefined, 30_000, 'the first one');
    assert.deepEqual(session.listening!.all.value[0]!.agreed, {
      toolsListChanged: true,
      promptsListChanged: true,
      resourcesListChanged: true,
    });
    const before = session.tools.value.items.length;
    await session.callTool('grow', {}, {});
    await eventually(() => session.tools.value.items.some(({ name }) => name === 'grown'), 30_000, 'a new tool');
    assert.equal(session.tools.value.items.length, before + 1);

    await session.subscribe('text://counter', true);
    await session.callTool('touch', {}, {});
    await eventually(() => session.subscriptions.value.get('text://counter') === 1, 30_000, 'an update');
    const { id } = session.listening!.all.value.at(-1)!;
    // One of another subscription, and one of none.
    for (const subscriptionId of [id + 1, undefined]) {
      const params = {
        uri: 'text://counter',
        _meta: { 'io.modelcontextprotocol/subscriptionId': subscriptionId },
      };
      await world.end.send({ jsonrpc: '2.0', method: 'notifications/resources/updated', params });
    }
    await session.subscribe('text://counter', false);
    assert.deepEqual(world.sent.findLast(({ from }) => from === 'client')?.message.params, {
      requestId: id,
      reason: 'cancelled by the user',
    });
    await session.callTool('touch', {}, {});
    assert.equal(session.subscriptions.value.size, 0);
    assert.equal(session.listening!.all.value.length, 1);
  });

  test('a subscription that the server refuses or ends is named', async (t) => {
    const listening: Message[] = [];
    const { session, end } = await open(
      t,
      byHand((message) => void listening.push(message)),
    );
    const acknowledge = (id: unknown, notifications: unknown) =>
      end.send({
        jsonrpc: '2.0',
        method: 'notifications/subscriptions/acknowledged',
        params: { notifications, _meta: { 'io.modelcontextprotocol/subscriptionId': id } },
      });
    const refusedOne = session.subscribe('a://b', true);
    await eventually(() => listening.length === 1, 30_000, 'a request');
    await acknowledge(listening[0]!.id, {});
    await assert.rejects(refusedOne, /did not agree/);
    assert.equal(session.listening!.all.value.length, 0);

    for (const ending of ['result', 'cancelled'] as const) {
      const agreed = session.subscribe('a://b', true);
      await eventually(() => listening.at(-1)?.method === 'subscriptions/listen' && listening.length > 1, 30_000);
      const { id } = listening.pop()!;
      await acknowledge(id, { resourceSubscriptions: ['a://b'] });
      await agreed;
      assert.equal(session.subscriptions.value.has('a://b'), true);
      await (ending === 'result'
        ? end.send({ jsonrpc: '2.0', id, result: { resultType: 'complete' } })
        : end.send({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: id } }));
      await eventually(() => !session.subscriptions.value.has('a://b'), 30_000, 'its end');
      assert.equal(session.listening!.all.value.at(-1)?.ended, 'The server ended it.');
    }
  });

  test('cache hints, log levels and the ping of this version', async (t) => {
    const { session, sent } = await open(t, both);
    await eventually(() => session.tools.value.state === 'ready', 30_000, 'the tools');
    assert.deepEqual(session.tools.value.cache, { ttlMs: 0, scope: 'private' });
    const { ttlMs, cacheScope } = (await session.readResource('text://almanac')) as Record<string, unknown>;
    assert.deepEqual([ttlMs, cacheScope], [60_000, 'public']);
    await session.callTool('log', {}, {});
    assert.equal(sent.filter(({ message }) => message.method === 'notifications/message').length, 0);
    await session.setLogLevel('info');
    await session.callTool('log', {}, {});
    await eventually(() => session.logs.items.value.length === 1, 30_000, 'a log message');
    await session.ping();
    assert.equal(sent.findLast(({ from }) => from === 'client')?.message.method, 'server/discover');
  });

  test('whatever a server answers, a call ends or a person is asked; and nothing is answered unasked', async (t) => {
    const junk = fc.oneof(fc.jsonValue(), fc.constant({}), fc.constant('complete'));
    const requests = fc.dictionary(
      fc.oneof(fc.string(), fc.constant('__proto__')),
      fc.oneof(
        junk,
        fc.record({
          method: fc.constantFrom('elicitation/create', 'sampling/createMessage', 'roots/list', 'constructor'),
          params: junk,
        }),
      ),
      { maxKeys: 12 },
    );
    const results = fc.oneof(
      junk,
      fc.record({
        resultType: fc.constantFrom('complete', 'task', 'other'),
        content: junk,
        taskId: fc.constantFrom(7, undefined),
      }),
      fc.record({ resultType: fc.constant('input_required'), inputRequests: requests, requestState: junk }),
    );
    await fc.assert(
      fc.asyncProperty(results, async (first) => {
        let calls = 0;
        const { session, sent, end } = await open(
          t,
          byHand(({ method }) => (method === 'tools/call' && calls++ === 0 ? (first ?? null) : { content: [] })),
        );
        const over = new AbortController();
        let settled = false;
        const call = session.callTool('any', {}, { signal: over.signal }).then(
          () => {
            settled = true;
          },
          () => {
            settled = true;
          },
        );
        // No request of the server's is answered, however it looks.
        await end.send({ jsonrpc: '2.0', id: 'q', method: 'elicitation/create', params: { message: 'me' } });
        await eventually(() => settled || session.asks.waiting > 0 || calls === 1, 30_000);
        assert.ok(session.asks.waiting <= 10);
        over.abort(new Error('over'));
        await call;
        assert.equal(session.asks.waiting, 0);
        assert.ok(sent.every(({ from, message }) => from === 'server' || message.method !== undefined));
        await end.close();
      }),
      { numRuns: full ? 1000 : 60 },
    );
  });
});

test('the trace names the version of each message', () => {
  const trace = new Trace();
  const seen: string[] = [];
  trace.recent.add = (make) => void seen.push(make(0).protocol);
  const named = (name: unknown) => ({ _meta: { 'io.modelcontextprotocol/protocolVersion': name } });
  trace.add('in', { method: 'notifications/message' });
  trace.add('out', { id: 0, method: 'server/discover', params: named('2026-07-28') });
  trace.add('out', { id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25' } });
  trace.add('in', { id: 0, error: { code: -32_601, message: 'no' } });
  trace.add('in', { id: 1, result: { protocolVersion: '2025-06-18' } });
  trace.add('out', { method: 'notifications/initialized' });
  trace.add('in', { id: 9, result: { protocolVersion: 'of a tool' } });
  trace.add('in', { id: 9, method: 'x', params: named({}) });
  assert.deepEqual(seen, [
    '',
    '2026-07-28',
    '2025-11-25',
    '2026-07-28',
    '2025-06-18',
    '2025-06-18',
    '2025-06-18',
    '2025-06-18',
  ]);
});
