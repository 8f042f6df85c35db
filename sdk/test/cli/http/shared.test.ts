import assert from 'node:assert/strict';
import test from 'node:test';
import type { End } from '../../../src/cli/bridge.ts';
import { CliError } from '../../../src/cli/cli-error.ts';
import { SharedUpstream } from '../../../src/cli/http/shared.ts';
import type { JsonRpcMessage } from '../../../src/link/message.ts';
import { startGateway } from '../support/gateway.ts';
import { post } from '../support/http.ts';

/** An end that takes what it is sent, once it is open. */
function ending(opened: Promise<void>) {
  const sent: JsonRpcMessage[] = [];
  const end: End = {
    start: () => opened,
    send: async (message) => void sent.push(message),
    close: async () => {},
  };
  return { end, sent };
}
const call = { jsonrpc: '2.0', id: 'x', method: 'tools/call' } as const;

test('a request that was given up while connecting is not sent, nor is its cancellation', async () => {
  const open = Promise.withResolvers<void>();
  const { end, sent } = ending(open.promise);
  const shared = new SharedUpstream(
    () => end,
    () => {},
  );
  const abort = new AbortController();
  const answer = shared.ask(call, {}, () => {}, abort.signal);
  const gone = shared.ask(call, {}, () => {}, AbortSignal.abort());
  abort.abort();
  open.resolve();
  for (const given of [answer, gone]) {
    assert.equal(((await given) as { error: { data: { code: string } } }).error.data.code, 'session_closed');
  }
  await shared.tell({ jsonrpc: '2.0', method: 'notifications/last' }, {});
  assert.deepEqual(sent, [{ jsonrpc: '2.0', method: 'notifications/last' }]);
});

test('a connection that is lost: what is open gets the reason, which comes with onerror', async () => {
  const { end, sent } = ending(Promise.resolve());
  const shared = new SharedUpstream(
    () => end,
    () => {},
  );
  const answer = shared.ask(call, {}, () => {}, new AbortController().signal);
  await shared.tell({ jsonrpc: '2.0', method: 'notifications/x' }, {});
  assert.equal(sent.length, 2);
  end.onerror?.(new CliError('server_unreachable', 'The reason.'));
  end.onclose?.();
  assert.equal(((await answer) as { error: { message: string } }).error.message, 'The reason.');
});

test('a notification that reaches no server is answered with the reason', async (t) => {
  const reason = new CliError('server_unreachable', 'There is no MCP server in the room.', true);
  const { url } = await startGateway(t, () => ending(Promise.reject(reason)).end);
  const response = await post(url, { method: 'notifications/x' }, { 'mcp-protocol-version': '2026-07-28' });
  assert.equal(response.status, 502);
  assert.deepEqual(await response.json(), {
    jsonrpc: '2.0',
    error: { code: -32_000, message: reason.message, data: { code: 'server_unreachable', retryable: true } },
  });
});
