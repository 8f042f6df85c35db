import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { suite, test, type TestContext } from 'node:test';
import {
  listen,
  type Listener,
  RelayConnection,
  type RendezvousError,
  WebRTCClientTransport,
  WebRTCServerTransport,
  type WebRTCTransport,
} from 'mcp-rendezvous';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import type { Engine } from '../sdk/src/peer/engine.ts';
import { weriftEngine } from '../sdk/src/peer/werift.ts';
import { RelayProcess, testSecret } from './support/relay.ts';
import { OwnTime } from './support/own-time.ts';
import { eventually, within } from './support/wait.ts';

const token = (role: 'server' | 'client', subject: string, ttl: number | string = '1h') =>
  createRoomToken({ key: testSecret, room: 'signaling', role, subject, ttl });

async function relayFor(t: TestContext, env: Record<string, string> = {}): Promise<RelayProcess> {
  const relay = await RelayProcess.start(env);
  t.after(() => relay.stop('SIGKILL'));
  return relay;
}

/** A server that answers every request with its method, and its ends of sessions. */
async function echo(
  t: TestContext,
  relay: RelayProcess,
  subject = 'server',
  rtc?: Engine,
): Promise<{ listener: Listener; sessions: string[]; ends: WebRTCTransport[] }> {
  const sessions: string[] = [];
  const ends: WebRTCTransport[] = [];
  const options = { relay: relay.ws, token: await token('server', subject), ...(rtc && { rtc }) };
  const listener = await listen(options, async (transport, peer) => {
    sessions.push(peer.subject);
    ends.push(transport);
    transport.onmessage = (message) => {
      if ('id' in message && 'method' in message) {
        void transport.send({ jsonrpc: '2.0', id: message.id, result: { method: message.method } });
      }
    };
    await transport.start();
  });
  t.after(() => listener.close());
  return { listener, sessions, ends };
}

async function client(t: TestContext, relay: RelayProcess, subject: string): Promise<WebRTCClientTransport> {
  const transport = new WebRTCClientTransport({ relay: relay.ws, token: await token('client', subject) });
  t.after(() => transport.close());
  await transport.start();
  // What becomes of the relay, or of a place in it, is nothing to a session that needs it no more.
  await eventually(() => transport.path === 'direct');
  return transport;
}

/** An offer of a data channel and so much audio, without candidates. */
function offerOf(audio: number): string {
  const fingerprint = Array(32).fill('AB').join(':');
  const common =
    `c=IN IP4 0.0.0.0\r\na=ice-ufrag:0123\r\na=ice-pwd:0123456789012345678901\r\n` +
    `a=fingerprint:sha-256 ${fingerprint}\r\na=setup:actpass\r\n`;
  const data = `m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n${common}a=mid:0\r\na=sctp-port:5000\r\n`;
  const media = Array.from(
    { length: audio },
    (_, at) =>
      `m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n${common}a=mid:${at + 1}\r\na=recvonly\r\na=rtcp-mux\r\n` +
      'a=rtpmap:111 opus/48000/2\r\n',
  );
  const mids = Array.from({ length: audio + 1 }, (_, mid) => mid).join(' ');
  return `v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE ${mids}\r\n${data}${media.join('')}`;
}

async function ask(transport: WebRTCClientTransport, method: string): Promise<unknown> {
  const answer = new Promise((resolve) => {
    transport.onmessage = resolve;
  });
  await transport.send({ jsonrpc: '2.0', id: 1, method });
  return ((await answer) as { result: { method: string } }).result.method;
}

// Side by side, as they wait; each has a relay of its own.
void suite('signaling through a relay', { concurrency: 4 }, () => {
  test('a relay that is killed and started again: sessions go on, the server is there again, new clients get through', async (t) => {
    const first = await relayFor(t);
    const port = new URL(first.url).port;
    const { listener, ends } = await echo(t, first);
    const states: string[] = [];
    listener.onstatechange = (state) => states.push(state);
    const old = await client(t, first, 'old');
    await eventually(() => ends[0]?.path === 'direct');
    await first.stop('SIGKILL');
    await eventually(() => listener.state === 'reconnecting');
    assert.equal(await ask(old, 'while-down'), 'while-down');
    const second = await relayFor(t, { RELAY_PORT: port });
    await eventually(() => listener.state === 'joined');
    assert.deepEqual(states, ['reconnecting', 'joined']);
    assert.equal(await ask(await client(t, second, 'new'), 'after'), 'after');
    assert.equal(await ask(old, 'still'), 'still');
    assert.equal(old.state, 'connected');
  });

  test('a relay that stops orderly: its peers come back to the next one', async (t) => {
    const first = await relayFor(t);
    const port = new URL(first.url).port;
    const { listener } = await echo(t, first);
    const ended = first.stop('SIGTERM');
    await eventually(() => listener.state === 'reconnecting');
    await ended;
    assert.equal(first.exitCode, 0);
    const second = await relayFor(t, { RELAY_PORT: port });
    assert.equal(await ask(await client(t, second, 'new'), 'after'), 'after');
  });

  test('a second server of the same subject takes the place; the first is told and does not come back', async (t) => {
    const relay = await relayFor(t);
    const first = await echo(t, relay);
    const old = await client(t, relay, 'old');
    await eventually(() => first.ends[0]?.path === 'direct');
    const replaced = new Promise<RendezvousError | undefined>((resolve) => {
      first.listener.onclose = resolve;
    });
    const second = await echo(t, relay);
    assert.equal((await replaced)?.code, 'replaced');
    assert.equal(first.listener.state, 'closed');
    assert.equal(await ask(await client(t, relay, 'new'), 'second'), 'second');
    assert.deepEqual(second.sessions, ['new']);
    assert.equal(await ask(old, 'first'), 'first');
    assert.equal(second.listener.state, 'joined');
  });

  test('a server of another subject is refused', async (t) => {
    const relay = await relayFor(t);
    await echo(t, relay);
    await assert.rejects(echo(t, relay, 'somebody-else'), { code: 'room_taken', retryable: false });
  });

  test("a token for the other role is refused before it could take somebody's place", async (t) => {
    const relay = await relayFor(t);
    const { listener } = await echo(t, relay);
    const wrong = new WebRTCClientTransport({ relay: relay.ws, token: await token('server', 'server') });
    t.after(() => wrong.close());
    await assert.rejects(wrong.start(), { code: 'bad_option', message: /role server/ });
    assert.equal(listener.state, 'joined');
    assert.equal(await ask(await client(t, relay, 'client'), 'unharmed'), 'unharmed');
  });

  test('two clients with one token live side by side', async (t) => {
    const relay = await relayFor(t);
    const { sessions } = await echo(t, relay);
    const shared = await token('client', 'desktop-app');
    const pair = [1, 2].map(() => new WebRTCClientTransport({ relay: relay.ws, token: shared }));
    t.after(() => Promise.all(pair.map((transport) => transport.close())));
    await Promise.all(pair.map((transport) => transport.start()));
    assert.deepEqual(sessions, ['desktop-app', 'desktop-app']);
    for (const [n, transport] of pair.entries()) assert.equal(await ask(transport, `call-${n}`), `call-${n}`);
  });

  test('a token function is asked again before its token ends, and the connection stays', async (t) => {
    const relay = await relayFor(t);
    let fetched = 0;
    const connection = new RelayConnection({
      relay: relay.ws,
      token: () => {
        fetched++;
        return token('client', 'refreshing', fetched === 1 ? 12 : '1h');
      },
    });
    t.after(() => connection.close());
    const states: string[] = [];
    connection.onstatechange = (state) => states.push(state);
    connection.onerror = (error) => states.push(error.code);
    await connection.start();
    await eventually(() => fetched === 2);
    const end = Date.now() + 13_000;
    // Past the end of the first token: that it outlives is what is tested.
    await eventually(() => Date.now() > end);
    assert.deepEqual(states, ['connecting', 'joined']);
  });

  test('a token that ends without another one to follow ends the connection, with the reason', async (t) => {
    const relay = await relayFor(t);
    const connection = new RelayConnection({ relay: relay.ws, token: await token('client', 'short', 3) });
    const closed = new Promise<RendezvousError | undefined>((resolve) => {
      connection.onclose = resolve;
    });
    await connection.start();
    assert.equal((await closed)?.code, 'token_expired');
  });

  test('a session that has ended is not begun again by what still comes from its client', async (t) => {
    const relay = await relayFor(t);
    const { sessions } = await echo(t, relay);
    const connection = new RelayConnection({ relay: relay.ws, token: await token('client', 'late') });
    t.after(() => connection.close());
    await connection.start();
    const channel = connection.channel((await connection.anyPeer(AbortSignal.timeout(30_000))).id);
    const answered = new Promise<string>((resolve) => {
      channel.onmessage = ({ kind }) => resolve(kind);
    });
    await channel.start();
    // An offer that no engine takes: the server's session fails and says so.
    await channel.send({ kind: 'offer', gen: 1, sdp: 'v=0\r\n' });
    assert.equal(await answered, 'bye');
    await channel.send({ kind: 'candidate', gen: 1, candidate: { candidate: 'candidate:1' } });
    await channel.send({ kind: 'offer', gen: 1, sdp: 'v=0\r\n' });
    await client(t, relay, 'other'); // by then the relay has handed over what came before
    assert.deepEqual(sessions, ['late', 'other']);
  });

  test('a client that leaves before its transport is started is no more than an error of the listener', async (t) => {
    const relay = await relayFor(t);
    const offered = Promise.withResolvers<void>();
    const left = Promise.withResolvers<void>();
    const options = { relay: relay.ws, token: await token('server', 'server') };
    const listener = await listen(options, async (transport) => {
      offered.resolve();
      await left.promise; // a look into a database, say
      await transport.start();
    });
    t.after(() => listener.close());
    const failed = new Promise<RendezvousError>((resolve) => {
      listener.onerror = resolve;
    });
    const hasty = new WebRTCClientTransport({ relay: relay.ws, token: await token('client', 'hasty') });
    const started = assert.rejects(hasty.start(), { code: 'closed' });
    await offered.promise;
    const probe = new RelayConnection({ relay: relay.ws, token: await token('client', 'probe') });
    t.after(() => probe.close());
    await hasty.close();
    await started;
    await probe.start(); // by then the listener has heard that the other one left
    left.resolve();
    assert.equal((await failed).code, 'peer_gone');
    assert.equal(listener.state, 'joined');
  });

  test('a relay that hangs without a word is noticed within 30 s; a quiet one is asked and kept', async (t) => {
    const [hung, quiet] = await Promise.all([relayFor(t), relayFor(t)]);
    const states = new Map<RelayProcess, string[]>();
    for (const relay of [hung, quiet]) {
      const connection = new RelayConnection({ relay: relay.ws, token: await token('client', 'patient') });
      t.after(() => connection.close());
      await connection.start();
      const seen: string[] = [];
      states.set(relay, seen);
      connection.onstatechange = (state) => seen.push(state);
      connection.onerror = ({ code }) => seen.push(code);
    }
    const clock = new OwnTime(t);
    process.kill(hung.pid, 'SIGSTOP');
    await eventually(() => states.get(hung)?.includes('reconnecting') === true, 60_000);
    assert.deepEqual([clock.ms <= 30_000, ...states.get(hung)!.slice(0, 2)], [true, 'ping_timeout', 'reconnecting']);
    assert.deepEqual(states.get(quiet), []);
  });

  test('a relay that hangs does not keep a process that has closed its connection', async (t) => {
    const relay = await relayFor(t);
    const script = `
    import { RelayConnection } from 'mcp-rendezvous';
    const [relay, token] = process.argv.slice(1);
    const connection = new RelayConnection({ relay, token });
    await connection.start();
    process.stdin.once('end', () => connection.close()).resume();
    console.log('joined');
  `;
    const child = spawn(
      process.execPath,
      [
        '--conditions=mcp-rendezvous-source',
        '--input-type=module',
        '--eval',
        script,
        '--',
        relay.ws,
        await token('client', 'brief'),
      ],
      { cwd: import.meta.dirname, stdio: ['pipe', 'pipe', 'inherit'] },
    );
    t.after(() => child.kill('SIGKILL'));
    const gone = once(child, 'exit');
    await within(once(child.stdout, 'data'), 'it joins');
    process.kill(relay.pid, 'SIGSTOP');
    child.stdin.end();
    assert.deepEqual(await within(gone, 'it ends by itself'), [0, null]);
  });

  test('an offer whose answer would be too large for the relay fails alone: the listener stays in the room', async (t) => {
    const relay = await relayFor(t);
    // Its answer has every section that it was offered.
    const { listener } = await echo(t, relay, 'server', weriftEngine);
    const failed = new Promise<RendezvousError>((resolve) => {
      listener.onerror = resolve;
    });
    const connection = new RelayConnection({ relay: relay.ws, token: await token('client', 'verbose') });
    t.after(() => connection.close());
    await connection.start();
    const channel = connection.channel((await connection.anyPeer(AbortSignal.timeout(30_000))).id);
    await channel.start();
    // Just below the limit; each section of the answer has candidates beside what the offer has.
    const sdp = offerOf(190);
    await channel.send({ kind: 'offer', gen: 1, sdp });
    assert.equal((await failed).code, 'frame_too_large');
    assert.equal(listener.state, 'joined');
    assert.equal(await ask(await client(t, relay, 'other'), 'still'), 'still');
  });

  test('a client that comes while the listener closes its sessions gets none', async (t) => {
    const relay = await relayFor(t);
    const transports: WebRTCTransport[] = [];
    const listener = await listen({ relay: relay.ws, token: await token('server', 'server') }, async (transport) => {
      transports.push(transport);
      await transport.start();
    });
    t.after(() => Promise.all([listener.close(), ...transports.map((transport) => transport.close())]));
    await client(t, relay, 'first');
    // So much that delivering it takes a while, and that the end comes first for some.
    const params = { text: 'x'.repeat(200_000) };
    for (let n = 0; n < 100; n++) transports[0]?.send({ jsonrpc: '2.0', method: 'n', params }).catch(() => {});
    const late = new WebRTCClientTransport({
      relay: relay.ws,
      token: await token('client', 'late'),
      connectTimeoutMs: 5_000,
    });
    t.after(() => late.close());
    const closing = listener.close();
    const refused = assert.rejects(late.start(), { code: 'peer_absent' });
    await closing;
    assert.deepEqual(
      transports.map((transport) => transport.state),
      ['closed'],
    );
    await refused;
  });

  test('a server for one client waits on for another one when the offer of the first is none', async (t) => {
    const relay = await relayFor(t);
    const transport = new WebRTCServerTransport({ relay: relay.ws, token: await token('server', 'server') });
    t.after(() => transport.close());
    const errors: string[] = [];
    transport.onerror = (error) => errors.push((error as RendezvousError).code);
    const started = transport.start();
    const connection = new RelayConnection({ relay: relay.ws, token: await token('client', 'odd') });
    t.after(() => connection.close());
    await connection.start();
    const channel = connection.channel((await connection.anyPeer(AbortSignal.timeout(30_000))).id);
    const told = new Promise<string>((resolve) => {
      channel.onmessage = (message) => resolve(message.kind === 'bye' ? message.code : message.kind);
    });
    await channel.start();
    await channel.send({ kind: 'offer', gen: 1, sdp: 'v=0\r\nm=audio 9 RTP/AVP 0\r\n' });
    assert.equal(await told, 'failed');
    await Promise.all([client(t, relay, 'even'), started]);
    assert.equal(transport.peer?.subject, 'even');
    assert.deepEqual(errors, ['bad_signal']);
  });

  test('a server for one client waits on for another one when the first gives up', async (t) => {
    const relay = await relayFor(t);
    const transport = new WebRTCServerTransport({ relay: relay.ws, token: await token('server', 'server') });
    t.after(() => transport.close());
    const started = transport.start();
    const connection = new RelayConnection({ relay: relay.ws, token: await token('client', 'hasty') });
    t.after(() => connection.close());
    await connection.start();
    const channel = connection.channel((await connection.anyPeer(AbortSignal.timeout(30_000))).id);
    await channel.start();
    await channel.send({ kind: 'offer', gen: 1, sdp: offerOf(1) });
    await channel.send({ kind: 'bye', gen: 1, code: 'closed', message: 'changed my mind' });
    await Promise.all([client(t, relay, 'patient'), started]);
    assert.equal(transport.peer?.subject, 'patient');
  });

  test('a second channel to a peer goes on where the first one ended', async (t) => {
    const relay = await relayFor(t);
    const near = new RelayConnection({ relay: relay.ws, token: await token('client', 'near') });
    const far = new RelayConnection({ relay: relay.ws, token: await token('server', 'far') });
    t.after(() => Promise.all([near.close(), far.close()]));
    const gens: number[] = [];
    far.onchannel = (channel) => {
      channel.onmessage = ({ gen }) => gens.push(gen);
      void channel.start();
    };
    await Promise.all([near.start(), far.start()]);
    const { id } = await near.anyPeer(AbortSignal.timeout(30_000));
    for (const gen of [1, 2, 3]) {
      const channel = near.channel(id);
      await channel.start();
      for (const sdp of ['a', 'b']) await channel.send({ kind: 'offer', gen, sdp });
      await eventually(() => channel.first === undefined, 30_000, 'everything is acknowledged');
    }
    assert.deepEqual(gens, [1, 1, 2, 2, 3, 3]);
  });
});
