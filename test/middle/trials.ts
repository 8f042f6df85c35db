import assert from 'node:assert/strict';
import { createSecret, type JsonRpcMessage, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { type ContractCase, contractCase, type Scope } from '../../sdk/src/testing/case.ts';
import { oddDescriptions } from '../../sdk/src/testing/odd-descriptions.ts';
import { testToken } from '../../server/test/support/peer.ts';
import { BreakableEngine } from '../support/breakable.ts';
import { engines, type EngineName } from '../support/engines.ts';
import { type MiddleOptions, MiddleRelay } from '../support/middle.ts';
import { eventually } from '../support/wait.ts';

// A relay in the middle that writes descriptions which two parsers may read differently.

const secret = createSecret();
const hello: JsonRpcMessage = { jsonrpc: '2.0', method: 'notifications/hello', params: { word: 'xylophone' } };
const firstAttempts = 12;
const laterAttempts = 4;

type Forge = NonNullable<MiddleOptions['forge']>;

/**
 * With the honest fingerprint for who reads exactly, and the relay's own for who reads leniently.
 */
const twoFaced: Forge = (sdp, honest) =>
  sdp.replace(
    /^a=fingerprint:(.*)\r\n/m,
    (_line, evil: string) => `a=fingerprint:${honest}\r\nA=fingerprint:${evil}\r\na=fingerprint:\t${evil}\r\n`,
  );

/**
 * Whatever a generator makes of the two fingerprints, another thing each time, for one victim after
 * the other.
 */
export function anything(seed: number): Forge {
  let made = 0;
  return (sdp, honest, victim) => {
    const [line = '', evil = ''] = /^a=fingerprint:(.*)\r\n/m.exec(sdp) ?? [];
    const exact = sdp.replace(line, `a=fingerprint:${honest}\r\n`);
    const turn = made++;
    if ((turn >> 1) % 2 === (victim === 'server' ? 0 : 1)) return exact;
    const digest = (fingerprint: string) => fingerprint.split(' ')[1] ?? '';
    const [base, other] = turn % 4 < 3 ? [exact, digest(evil)] : [sdp, digest(honest)];
    return oddDescriptions(base, other, seed + turn).next().value;
  };
}

/** A message that another one comes in place of. */
const change = (data: string | Uint8Array<ArrayBuffer>) =>
  typeof data === 'string'
    ? data.replaceAll('xylophone', 'saxophone')
    : new Uint8Array(Buffer.from(Buffer.from(data).toString('latin1').replaceAll('xylophone', 'saxophone'), 'latin1'));

async function ends(t: Scope, name: EngineName, options: MiddleOptions) {
  const middle = await MiddleRelay.start({ change, ...options });
  t.after(() => middle.stop());
  const engine = new BreakableEngine(engines[name]);
  const room = 'middle';
  const common = { relay: middle.url, secret };
  const client = new WebRTCClientTransport({
    ...common,
    token: await testToken({ room, role: 'client' }),
    rtc: engine,
  });
  const server = new WebRTCServerTransport({
    ...common,
    token: await testToken({ room, role: 'server' }),
    rtc: engines[name],
  });
  t.after(() => Promise.all([client.close(), server.close()]));
  const received: JsonRpcMessage[] = [];
  server.onmessage = (message) => received.push(message);
  return { middle, engine, client, server, received };
}

/** A first connection: nothing of the client's message may be read, or come. */
async function first(t: Scope, name: EngineName, forge: Forge): Promise<void> {
  const { middle, client, server, received } = await ends(t, name, { forge });
  const serving = server.start().then(
    () => 'connected',
    () => 'refused', // once it is closed, below: a server waits for a better client
  );
  const connecting = await client.start().then(
    () => 'connected',
    () => 'refused',
  );
  if (connecting === 'connected') {
    await client.send(hello);
    await eventually(() => received.length > 0);
  }
  await server.close();
  assert.equal(middle.attempts, 1);
  assert.deepEqual([connecting, await serving, received], ['refused', 'refused', []]);
  assert.doesNotMatch(middle.read.join(), /xylophone/);
}

/** A session that was begun honestly and is lost: it may not go on over the relay's connections. */
async function later(t: Scope, name: EngineName, forge: Forge, attempts: number): Promise<void> {
  const { middle, engine, client, server, received } = await ends(t, name, { forge, honest: true });
  await Promise.all([client.start(), server.start()]);
  middle.takeOver();
  await engine.break();
  // Lost with the session, which is all that such a relay can do.
  const sent = client.send(hello).catch(() => {});
  await eventually(() => middle.attempts > attempts || received.length > 0 || client.state === 'closed', 60_000);
  assert.ok(middle.attempts > 0);
  await client.close();
  await sent;
  assert.deepEqual(received, []);
  assert.doesNotMatch(middle.read.join(), /xylophone/);
}

/** @param seed of what the relay writes */
export const trials = (name: EngineName, seed: number): ContractCase[] => [
  contractCase('a description that names two certificates, each for another reader, connects nobody', (scope) =>
    first(scope, name, twoFaced),
  ),
  contractCase('a session that was begun honestly is not taken over by one', (scope) =>
    later(scope, name, twoFaced, 2),
  ),
  contractCase('whatever it writes, a first connection is refused', async (scope) => {
    const forge = anything(seed);
    for (let attempt = 0; attempt < firstAttempts; attempt++) await first(scope, name, forge);
  }),
  contractCase('whatever it writes, a session is not taken over', (scope) =>
    later(scope, name, anything(seed), laterAttempts),
  ),
];
