import assert from 'node:assert/strict';
import { deliveredAll, otherSide, sides } from './conformance-session.ts';
import { type ConformanceCase, conformanceCase, onSession, type Subject } from './conformance-test.ts';
import { upTo } from './transport-pair.ts';

/** Values that carriers have spoiled before: escapes, ends of lines, 2 to 4 bytes a character. */
const values = {
  text: ['', 'grüß Gott', '\u{1f44b}\u{1f3fd}', '\0\t\r\n\b"\\', '\u2028\u2029\u0085\ufeff', 'data: 1\n\n'],
  numbers: [0, -1, 1.5e-9, 9_007_199_254_740_991],
  nested: { nothing: null, yes: true, empty: {}, list: [[], [{}]] },
};

const failureOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => assert.fail('a request succeeded that the other end answered with an error'),
    (error: unknown) => error,
  );

/** Tests 2 to 5 of the draft: each kind of message, in both directions. */
export const deliveryConformance = (subject: Subject): ConformanceCase[] => [
  conformanceCase('request-delivery', () =>
    onSession(subject, async (session, ends) => {
      for (const side of sides) {
        const received: unknown[] = [];
        session.handlers[otherSide[side]].set('test.example/request', ({ params }) => {
          received.push(params);
          return {};
        });
        const asked = [{ ...values }, {}, { n: 1, _meta: { 'test.example/key': values.text } }];
        for (const params of asked) await session.ask(side, 'test.example/request', params);
        assert.deepEqual(received, asked);
      }
      await deliveredAll(session, ends);
    }),
  ),

  conformanceCase('response-delivery', () =>
    onSession(subject, async (session, ends) => {
      for (const side of sides) {
        const results = [{ ...values }, {}, { n: 1, _meta: { 'test.example/key': values.text } }];
        session.handlers[otherSide[side]].set('test.example/answer', ({ params }) => results[Number(params?.['n'])]!);
        for (const [n, result] of results.entries()) {
          assert.deepEqual(await session.ask(side, 'test.example/answer', { n }), result);
        }
      }
      await deliveredAll(session, ends);
    }),
  ),

  conformanceCase('notification-delivery', () =>
    onSession(subject, async (session, ends) => {
      const { client, server, handlers, sent } = session;
      const protocols = { client, server: server.server };
      for (const side of sides) {
        const other = otherSide[side];
        const received: unknown[] = [];
        const all = Promise.withResolvers<void>();
        const notifications = upTo(5).map((n) => ({ ...values, n }));
        protocols[other].fallbackNotificationHandler = async ({ params }) => {
          if (received.push(params) === notifications.length) all.resolve();
        };
        // While a request waits, notifications of the same direction must pass.
        const asked = Promise.withResolvers<object>();
        handlers[other].set('test.example/wait', () => asked.promise);
        const waiting = session.ask(side, 'test.example/wait', {});
        waiting.catch(() => {}); // until it is waited for
        const before = sent[other].length;
        for (const params of notifications) {
          await ends.soon(protocols[side].notification({ method: 'notifications/test.example', params }), 'sending');
        }
        await ends.soon(all.promise, `notifications, of which ${received.length} of ${notifications.length} came`);
        assert.deepEqual(received, notifications);
        assert.equal(sent[other].length, before, 'something was sent in answer to a notification');
        asked.resolve({});
        await waiting;
      }
      await deliveredAll(session, ends);
    }),
  ),

  conformanceCase('error-response', () =>
    onSession(subject, async (session, ends) => {
      const data = { reason: values.text };
      for (const side of sides) {
        session.handlers[otherSide[side]].set('test.example/fail', () => {
          throw Object.assign(new Error('it failed'), { code: -31_999, data });
        });
        const error = await failureOf(session.ask(side, 'test.example/fail', {}));
        assert.ok(error instanceof Error && 'code' in error && 'data' in error, String(error));
        assert.deepEqual([error.code, error.data], [-31_999, data]);
        assert.match(error.message, /it failed$/);
        const unknown = await failureOf(session.ask(side, 'test.example/unknown', {}));
        assert.equal((unknown as { code?: unknown }).code, -32_601);
      }
      await deliveredAll(session, ends);
      assert.deepEqual([session.errors, ends.client.errors, ends.server.errors], [[], [], []]);
      assert.deepEqual([ends.client.closes, ends.server.closes], [0, 0]);
    }),
  ),
];
