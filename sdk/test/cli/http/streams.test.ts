import assert from 'node:assert/strict';
import test from 'node:test';
import { Child } from '../../../src/cli/child.ts';
import { startGateway } from '../support/gateway.ts';
import { eachMessage, messages, post } from '../support/http.ts';
import { until } from '../support/process.ts';

test('what was written to a GET stream is not written to the next one; what nobody was there for is', async (t) => {
  const code = `
    const say = (m) => console.log(JSON.stringify({ jsonrpc: '2.0', ...m }));
    require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
      const { id, method } = JSON.parse(line);
      if (method === 'initialize') say({ id, result: { protocolVersion: '2025-11-25' } });
      else if (method === 'notifications/tell') say({ id: 's-1', method: 'roots/list' });
      else if (method === 'notifications/more') say({ method: 'notifications/later' });
      else if (method === undefined) console.error('answered');
    });`;
  const lines: string[] = [];
  const onoutput = (line: string) => void lines.push(line);
  const { url, open } = await startGateway(t, () => {
    return new Child({ command: process.execPath, args: ['-e', code], env: process.env, onoutput });
  });
  const headers = await open();
  const listen = async (last?: string) => {
    const abort = new AbortController();
    const resume = last === undefined ? {} : { 'last-event-id': last };
    const init = { headers: { ...headers, ...resume, accept: 'text/event-stream' }, signal: abort.signal };
    const ids: string[] = [];
    const stream = eachMessage(await fetch(url, init), ids);
    return { next: async () => (await stream.next()).value, abort, ids };
  };
  const tell = (method: string) => post(url, { method }, headers);
  const first = await listen();
  await tell('notifications/tell');
  assert.equal((await first.next())?.method, 'roots/list');
  await post(url, { id: 's-1', result: { roots: [] } }, headers);
  await until('the answer', () => lines.includes('answered'));
  first.abort.abort();

  const second = await listen();
  await tell('notifications/more');
  assert.equal((await second.next())?.method, 'notifications/later', 'and not the question, which was answered');
  const [last = ''] = second.ids;
  second.abort.abort();
  const resumed = await listen(last.replace(/\d+$/, '0'));
  assert.equal((await resumed.next())?.method, 'roots/list', 'it is still there for whoever names what it has');
});

test('a cancelled request is forgotten, and its stream ends', async (t) => {
  const { url, open } = await startGateway(t);
  const headers = await open();
  const ids: string[] = [];
  const stream = eachMessage(await post(url, { id: 2, method: 'silence' }, headers), ids);
  const cancelled = { method: 'notifications/cancelled', params: { requestId: 2 } };
  assert.equal((await post(url, cancelled, headers)).status, 202);
  assert.equal((await stream.next()).done, true);
  await saysNothingMore(url, headers, ids);
  const again = await post(url, { id: 2, method: 'echo' }, headers);
  assert.equal((await messages(again))[0]?.id, 2, 'its id is free');
});

test('a client that comes back to a stream that it has all of is told that there is nothing more', async (t) => {
  const { url, open } = await startGateway(t);
  const headers = await open();
  const ids: string[] = [];
  const stream = eachMessage(await post(url, { id: 2, method: 'nonsense' }, headers), ids);
  assert.equal((await stream.next()).value?.error?.code, -32_601);
  assert.equal((await stream.next()).done, true);
  await saysNothingMore(url, headers, ids);
});

/**
 * Clients come back to a stream that ended without a result, and would again after an empty one.
 */
async function saysNothingMore(url: string, headers: Record<string, string>, ids: string[]): Promise<void> {
  const init = { headers: { ...headers, accept: 'text/event-stream', 'last-event-id': ids.at(-1) ?? '' } };
  assert.equal((await fetch(url, init)).status, 204);
}

test('Last-Event-ID of a stream that is not kept is refused, and the session goes on', async (t) => {
  const { url, open } = await startGateway(t);
  const headers = await open();
  for (const last of ['99_3', 'nonsense']) {
    const init = { headers: { ...headers, accept: 'text/event-stream', 'last-event-id': last } };
    const response = await fetch(url, init);
    // Not 404, which would be the end of the session.
    assert.equal(response.status, 400);
    assert.match(await response.text(), /is no longer available/);
  }
  assert.equal((await messages(await post(url, { id: 2, method: 'echo' }, headers)))[0]?.id, 2);
});
