import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import {
  type JsonRpcMessage,
  MemorySignaling,
  type Signaling,
  type SignalMessage,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { BreakableEngine } from '../support/breakable.ts';
import { eventually } from '../support/wait.ts';

/**
 * A signaling channel that lets its owner appear to be of another version: it rewrites what both
 * sides say of framed mode.
 */
function disguised(signaling: Signaling, rewrite: (line: string) => string): Signaling {
  const change = (message: SignalMessage): SignalMessage =>
    'sdp' in message ? { ...message, sdp: message.sdp.replace(/a=mcp-framed:.*\r\n/, rewrite) } : message;
  const outside: Signaling = {
    start: (role) => signaling.start(role),
    send: (message) => signaling.send(change(message)),
    close: () => signaling.close(),
  };
  signaling.onmessage = (message) => outside.onmessage?.(change(message));
  signaling.onclose = (error) => outside.onclose?.(error);
  return outside;
}

/**
 * The server offers here. Both directions are tried, since either side may be the other version.
 */
async function exchange(t: TestContext, which: 'client' | 'server', rewrite: (line: string) => string) {
  const [left, right] = MemorySignaling.pair();
  const [clientEngine, serverEngine] = [new BreakableEngine(), new BreakableEngine()];
  const client = new WebRTCClientTransport({
    signaling: which === 'client' ? disguised(left, rewrite) : left,
    rtc: clientEngine,
  });
  const server = new WebRTCServerTransport({
    signaling: which === 'server' ? disguised(right, rewrite) : right,
    rtc: serverEngine,
  });
  t.after(() => Promise.all([client.close(), server.close()]));
  const received: JsonRpcMessage[] = [];
  client.onmessage = server.onmessage = (message) => received.push(message);
  await Promise.all([client.start(), server.start()]);
  const size = 200_000;
  for (const end of [client, server]) {
    await end.send({ jsonrpc: '2.0', method: 'notifications/large', params: { text: 'x'.repeat(size) } });
  }
  await eventually(() => received.length === 2);
  return { client, server, clientEngine, serverEngine };
}

for (const which of ['client', 'server'] as const) {
  test(`a ${which} that does not know framed mode gets plain mode`, async (t) => {
    const { client, server, serverEngine } = await exchange(t, which, () => '');
    const closed = new Promise<void>((resolve) => (client.onclose = resolve));
    await serverEngine.break();
    await closed; // plain mode has no recovery, and says so at once
    assert.equal(client.state, 'closed');
    assert.equal(server.state, 'closed');
  });

  test(`a ${which} of a later version, that speaks the first one too: framed mode`, async (t) => {
    const { client, server, serverEngine } = await exchange(t, which, (line) =>
      which === 'server' ? line.replace(':1', ':2 1 resumption=fast') : line,
    );
    await serverEngine.break();
    await eventually(() => client.state === 'connected' && server.state === 'connected' && serverEngine.made === 2);
  });
}

test('an offer of later versions only is answered in plain mode', async (t) => {
  const { client, serverEngine } = await exchange(t, 'server', (line) => line.replace(':1', ':7'));
  const closed = new Promise<void>((resolve) => (client.onclose = resolve));
  await serverEngine.break();
  await closed;
});
