import assert from 'node:assert/strict';
import { deliveredAll, otherSide, plain, sides } from './conformance-session.ts';
import { type ConformanceCase, conformanceCase, onSession, type Subject } from './conformance-test.ts';
import { upTo } from './transport-pair.ts';

const many = 40;
/** More than pipes and channels buffer, and more messages than a short queue holds. */
const burst = { count: 200, bytes: 1_000 };

/** 0 to 39 in an order that no queue and no stack has. */
const shuffled = upTo(many).map((n) => (n * 17) % many);

/** Test 11 of the draft and what it recommends of messages that are under way. */
export const flowConformance = (subject: Subject): ConformanceCase[] => [
  conformanceCase('concurrent-requests', () =>
    onSession(subject, async (session, ends) => {
      const { handlers, ask } = session;
      const answers = sides.map((side) => {
        const waiting: (() => void)[] = [];
        // All of them wait until the last one is there; then they are answered in another order.
        handlers[otherSide[side]].set('test.example/concurrent', ({ params }) => {
          const answered = Promise.withResolvers<object>();
          waiting.push(() => answered.resolve({ n: params?.['n'], side }));
          if (waiting.length === many) for (const n of shuffled) waiting[n]!();
          return answered.promise;
        });
        return Promise.all(upTo(many).map((n) => ask(side, 'test.example/concurrent', { n })));
      });
      const results = await ends.soon(Promise.all(answers), 'the answers to requests that overlap');
      assert.deepEqual(
        results,
        sides.map((side) => upTo(many).map((n) => ({ n, side }))),
      );
      await deliveredAll(session, ends);
    }),
  ),

  conformanceCase('cancellation', () =>
    onSession(subject, async (session, ends) => {
      const { handlers, ask } = session;
      const { soon } = ends;
      await session.fence(); // SDK v1 cannot cancel the first request of an end, whose id is 0
      for (const side of sides) {
        const other = otherSide[side];
        const arrived = [Promise.withResolvers<AbortSignal>(), Promise.withResolvers<AbortSignal>()] as const;
        const finish = Promise.withResolvers<object>();
        handlers[other].set('test.example/wait', ({ params }, { signal }) => {
          arrived[Number(params?.['which']) as 0 | 1].resolve(signal);
          return finish.promise;
        });
        const controller = new AbortController();
        const cancelled = ask(side, 'test.example/wait', { which: 0 }, { signal: controller.signal }).then(
          () => assert.fail('a request succeeded that was cancelled'),
          (error: unknown) => error,
        );
        const kept = ask(side, 'test.example/wait', { which: 1 });
        kept.catch(() => {}); // until it is waited for
        const [first, second] = await soon(Promise.all(arrived.map(({ promise }) => promise)), 'both requests');
        controller.abort('no longer wanted');
        assert.ok((await soon(cancelled, 'the end of the cancelled request')) instanceof Error);
        const aborted = new Promise<void>((resolve) => {
          if (first!.aborted) resolve();
          else first!.addEventListener('abort', () => resolve());
        });
        await soon(aborted, 'the handler to hear of the cancellation');
        assert.equal(second!.aborted, false, 'another request was cancelled');
        finish.resolve({ done: true });
        assert.deepEqual(await kept, { done: true });
      }
      await deliveredAll(session, ends);
      assert.deepEqual([ends.client.closes, ends.server.closes], [0, 0]);
    }),
  ),

  conformanceCase('malformed-input', () =>
    onSession(subject, async ({ ask, handlers }, ends) => {
      const { pair, soon } = ends;
      const malformed: unknown[] = [
        { jsonrpc: '2.0' },
        { id: 7 },
        [],
        'text',
        7,
        { jsonrpc: '2.0', id: {}, method: '' },
      ];
      handlers.server.set('test.example/echo', ({ params }) => params ?? {});
      await subject.options.sendJunk?.(pair);
      for (const [n, message] of malformed.entries()) {
        // It may be refused at once, which is as good.
        await soon(
          pair.client.send(message as never).catch(() => {}),
          'send() of what is no message',
        );
        assert.deepEqual(await ask('client', 'test.example/echo', { n }), { n });
      }
      assert.deepEqual([ends.client.closes, ends.server.closes], [0, 0], 'what is no message ended the session');
    }),
  ),

  conformanceCase('backpressure', () =>
    onSession(subject, async (session, ends) => {
      const protocols = { client: session.client, server: session.server.server };
      const text = 'x'.repeat(burst.bytes);
      const sent = sides.flatMap((side) => {
        protocols[otherSide[side]].fallbackNotificationHandler = async () => {};
        return upTo(burst.count).map((n) =>
          protocols[side].notification({ method: 'notifications/test.example', params: { n, text } }),
        );
      });
      await ends.soon(Promise.all(sent), 'the sends');
      for (const side of sides) {
        const end = ends[side];
        const numbers = () =>
          end.messages.flatMap((message) =>
            'method' in message && message.method === 'notifications/test.example' ? [message.params?.['n']] : [],
          );
        const last = burst.count - 1;
        await end.until(() => numbers().includes(last), `the last of ${burst.count} messages`);
        assert.deepEqual(numbers(), upTo(burst.count), 'messages that waited were lost, or came in another order');
      }
      await deliveredAll(session, ends);
    }),
  ),

  conformanceCase('extension-fields', () =>
    onSession(subject, async (session, ends) => {
      const extension = { 'test.example/key': { deep: [{ er: null }] }, 'test.example/empty': {} };
      const fields = { known: 1, 'x-unknown': extension, _meta: { ...extension, traceparent: '00-1-2-03' } };
      for (const side of sides) {
        const received: unknown[] = [];
        session.handlers[otherSide[side]].set('test.example/extended', ({ params }) => {
          received.push(plain(params));
          return fields;
        });
        assert.deepEqual(await session.ask(side, 'test.example/extended', fields), fields);
        assert.deepEqual(received, [fields], 'a request lost members that its carrier does not know');
      }
      const asked = { method: 'tools/list', params: { ...fields, cursor: undefined } };
      const { tools } = (await session.ask('client', asked.method, plain(asked.params))) as { tools: unknown[] };
      assert.equal(tools.length, 3);
      await deliveredAll(session, ends);
    }),
  ),
];
