import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { type JsonRpcMessage, WebRTCClientTransport, WebRTCServerTransport, weriftEngine } from 'mcp-rendezvous';
import { testToken } from '../server/test/support/peer.ts';
import { BreakableEngine } from './support/breakable.ts';
import { MiddleRelay, type MiddleOptions } from './support/middle.ts';
import { eventually } from './support/wait.ts';

// A relay in the middle that writes descriptions which two parsers may read differently.

const secret = 'OGAb1kJfd3Qzq2r0pVkqj2cYzvXq8Hn2';
const hello: JsonRpcMessage = { jsonrpc: '2.0', method: 'notifications/hello', params: { word: 'xylophone' } };

/** With the honest fingerprint for who reads exactly, and the relay's own for who reads leniently. */
const twoFaced: NonNullable<MiddleOptions['forge']> = (sdp, honest) =>
  sdp.replace(
    /^a=fingerprint:(.*)\r\n/m,
    (_line, evil: string) =>
      `a=fingerprint:${honest}\r\n` + `A=fingerprint:${evil}\r\n` + `a=fingerprint:\t${evil}\r\n`,
  );

/** A message that another one comes in place of. */
const change = (data: string | Uint8Array<ArrayBuffer>) =>
  typeof data === 'string'
    ? data.replaceAll('xylophone', 'saxophone')
    : new Uint8Array(Buffer.from(Buffer.from(data).toString('latin1').replaceAll('xylophone', 'saxophone'), 'latin1'));

async function ends(t: TestContext, options: MiddleOptions) {
  const middle = await MiddleRelay.start({ change, ...options });
  t.after(() => middle.stop());
  const engine = new BreakableEngine();
  const room = 'middle';
  const common = { relay: middle.url, secret, connectTimeoutMs: 10_000 };
  const client = new WebRTCClientTransport({
    ...common,
    token: await testToken({ room, role: 'client' }),
    rtc: engine,
  });
  const server = new WebRTCServerTransport({
    ...common,
    token: await testToken({ room, role: 'server' }),
    rtc: weriftEngine,
  });
  t.after(() => Promise.all([client.close(), server.close()]));
  const received: JsonRpcMessage[] = [];
  server.onmessage = (message) => received.push(message);
  return { middle, engine, client, server, received };
}

test('a description that names two certificates, each for another reader, connects nobody', async (t) => {
  const { middle, client, server, received } = await ends(t, { forge: twoFaced });
  const serving = server.start().then(
    () => 'connected',
    () => 'refused', // once it is closed, below: one bad client is no reason to wait for no other
  );
  const connecting = await client.start().then(
    () => 'connected',
    ({ code }: { code: string }) => code,
  );
  if (connecting === 'connected') {
    await client.send(hello);
    await eventually(() => received.length > 0);
  }
  await server.close();
  assert.deepEqual([connecting, await serving, received], ['peer_gone', 'refused', []]);
  assert.doesNotMatch(middle.read.join(), /xylophone/);
});

test('a session that was begun honestly is not taken over by such a description when it resumes', async (t) => {
  const { middle, engine, client, server, received } = await ends(t, { forge: twoFaced, honest: true });
  await Promise.all([client.start(), server.start()]);
  middle.takeOver();
  await engine.break();
  const sent = client.send(hello).catch(() => {}); // lost with the session, which is all that such a relay can do
  await eventually(() => middle.attempts > 2 || received.length > 0);
  await client.close();
  await sent;
  assert.deepEqual(received, []);
  assert.doesNotMatch(middle.read.join(), /xylophone/);
});
