import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import type { End } from '../../../src/cli/bridge.ts';
import { SharedUpstream } from '../../../src/cli/http/shared.ts';
import { startGateway } from '../support/gateway.ts';
import { post } from '../support/http.ts';
import { runs, until } from '../support/process.ts';

const minuteMs = 60_000;

/** Lets the monotonic clock run ahead; the waits of the test itself go on as ever. */
function clock(t: TestContext): (milliseconds: number) => void {
  let ahead = 0;
  const now = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => now() + ahead);
  return (milliseconds) => void (ahead += milliseconds);
}

test('a session that nobody used for 30 minutes is over; one that was used or is listened to is not', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const advance = clock(t);
  const { url, children, open } = await startGateway(t);
  const [forgotten, used, listened] = [await open(), await open(), await open()];
  const gone = new AbortController();
  t.after(() => gone.abort());
  const headers = { ...listened, accept: 'text/event-stream' };
  assert.equal((await fetch(url, { headers, signal: gone.signal })).status, 200);
  const pass = (milliseconds: number): void => {
    advance(milliseconds);
    t.mock.timers.tick(minuteMs);
  };
  const call = async (session: Record<string, string>): Promise<number> =>
    (await post(url, { id: 1, method: 'echo' }, session)).status;

  pass(29 * minuteMs);
  assert.equal(await call(used), 200);
  pass(2 * minuteMs);
  const [process] = children;
  await until('the end of its process', () => !runs(process!.pid!));
  assert.deepEqual([await call(forgotten), await call(used), await call(listened)], [404, 200, 200]);
});

test('a shared connection that nobody used for 30 minutes is closed, and the next request has another one', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let [made, closed] = [0, 0];
  const connect = (): End => {
    made++;
    const end: End = {
      start: async () => {},
      send: async (message) => {
        if ('id' in message) await end.onmessage?.({ jsonrpc: '2.0', id: message.id!, result: {} });
      },
      close: async () => void closed++,
    };
    return end;
  };
  const shared = new SharedUpstream(connect, () => {});
  const ask = (): Promise<unknown> =>
    shared.ask({ jsonrpc: '2.0', id: 'x', method: 'ping' }, {}, () => {}, new AbortController().signal);
  await ask();
  t.mock.timers.tick(29 * minuteMs);
  await ask();
  t.mock.timers.tick(29 * minuteMs);
  assert.deepEqual([made, closed], [1, 0]);
  t.mock.timers.tick(minuteMs);
  assert.deepEqual([made, closed], [1, 1]);
  await ask();
  assert.deepEqual([made, closed], [2, 1]);
});
