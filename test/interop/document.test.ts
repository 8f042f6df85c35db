import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, suite, test, type TestContext } from 'node:test';
import { RelayConnection } from 'mcp-rendezvous';
import { connectPath } from 'mcp-rendezvous-protocol';
import type { RelayChannel } from '../../sdk/src/signaling/relay-channel.ts';
import { TcpProxy } from '../support/proxy.ts';
import { RedisServer } from '../support/redis.ts';
import { RelayProcess, testSecret } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { eventually } from '../support/wait.ts';
import type { LineEvent } from './line-process.ts';
import { PythonProcess } from './python.ts';

/**
 * PROTOCOL.md is enough: a peer that was written from it alone (document_peer.py), the relay, and
 * the SDK at the other end.
 */
const patienceMs = 30_000;
const ttl = 600;
let redis: RedisServer;
let relays: RelayProcess[];

before(async () => {
  redis = await RedisServer.start();
  relays = await Promise.all([1, 2].map(() => RelayProcess.start({ REDIS_URL: redis.url })));
});
after(async () => {
  await Promise.all(relays?.map((relay) => relay.stop('SIGKILL')) ?? []);
  await redis?.stop();
});

const connectUrl = ({ ws }: { ws: string }) => ws + connectPath;
const offer = { kind: 'offer', gen: 1, body: { sdp: 'v=0\r\n' } };
const numbered = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ kind: 'candidate', gen: 1, body: { candidate: `candidate:${n}` } }));

/** A peer in Python that has been told to join; `more` are further arguments of its class. */
function stranger(t: TestContext, room: Room, role: 'server' | 'client', more: Record<string, unknown> = {}) {
  const python = new PythonProcess(t, 'document_peer.py');
  const claims = { room: room.name, role, sub: `${role} in Python` };
  python.tell({ do: 'join', relays: relays.map(connectUrl), secret: testSecret, claims, ttls: [ttl], ...more });
  return python;
}

/** A peer of the SDK, and what it hears. */
async function native(t: TestContext, room: Room, role: 'server' | 'client', relay = relays[0]!.ws) {
  const connection = new RelayConnection({ relay, token: () => room.token(role) }, role);
  t.after(() => connection.close());
  const heard: string[] = [];
  const candidates: string[] = [];
  const presence: string[] = [];
  const listen = (channel: RelayChannel) => {
    channel.onmessage = (message) => {
      heard.push(message.kind);
      if (message.kind === 'candidate') candidates.push(message.candidate.candidate);
    };
    channel.onclose = (error) => heard.push(`closed: ${error?.message}`);
    void channel.start();
    return channel;
  };
  const opened = Promise.withResolvers<RelayChannel>();
  connection.onchannel = (channel) => opened.resolve(listen(channel));
  connection.onpeer = (_, state) => presence.push(state);
  await connection.start();
  return { connection, heard, candidates, presence, listen, opened: opened.promise };
}

const candidatesOf = ({ events }: PythonProcess) =>
  events
    .filter(({ event, kind }) => event === 'message' && kind === 'candidate')
    .map(({ body }) => (body as { candidate: string }).candidate);

const names = (count: number) => Array.from({ length: count }, (_, n) => `candidate:${n}`);

const joins = ({ events }: PythonProcess) => events.filter(({ event }) => event === 'joined');

/** Sends so many candidates both ways, a few at a time, and cuts the sockets in between. */
async function converse(
  python: PythonProcess,
  to: string,
  channel: RelayChannel,
  count: number,
  cut?: () => Promise<void> | void,
) {
  const [fromPython, fromSdk] = [numbered(count), names(count)];
  for (let n = 0; n < count; n += 5) {
    python.tell({ do: 'send', to, messages: fromPython.slice(n, n + 5) });
    for (const candidate of fromSdk.slice(n, n + 5)) {
      void channel.send({ kind: 'candidate', gen: 1, candidate: { candidate } });
    }
    if (n % 20 === 10) await cut?.();
    await eventually(() => candidatesOf(python).length >= n - 5, patienceMs);
  }
}

suite('a peer that knows PROTOCOL.md and nothing else', { concurrency: 3 }, () => {
  test('a client: its offer travels in the join; signals pass both ways once and in order, whatever happens to the sockets', async (t) => {
    const room = new Room(relays[0]!);
    const wire = await TcpProxy.start(relays.map(({ url }) => Number(new URL(url).port)));
    t.after(() => wire.stop());
    const server = await native(t, room, 'server', `ws://127.0.0.1:${wire.port}`);
    const python = stranger(t, room, 'client', { first: offer });
    const channel = await server.opened;
    await channel.send({ kind: 'answer', gen: 1, sdp: 'v=0\r\n' });
    await python.event('message', ({ kind }) => kind === 'answer');

    let cuts = 0;
    const count = 60;
    await converse(python, server.connection.id!, channel, count, async () => {
      if (cuts++ % 2 === 1) return wire.drop();
      // One that is not there cannot be cut.
      await eventually(() => joins(python).length === Math.ceil(cuts / 2), patienceMs);
      python.tell({ do: 'cut' });
    });
    await eventually(() => server.candidates.length >= count && candidatesOf(python).length >= count, patienceMs);
    await python.event('acknowledged', ({ seq }) => seq === count + 1);
    assert.deepEqual(server.candidates, names(count));
    assert.deepEqual(candidatesOf(python), names(count));
    assert.deepEqual(
      server.heard.filter((kind) => kind !== 'candidate'),
      ['offer'],
    );

    assert.ok(cuts >= 3);
    const [first, ...again] = joins(python);
    assert.equal(again.length, Math.ceil(cuts / 2));
    for (const [index, one] of again.entries()) {
      assert.deepEqual([one['peer'], one['resumed']], [first?.['peer'], true]);
      assert.equal(one['url'], connectUrl(relays[(index + 1) % 2]!), 'it resumes on the other instance');
    }
    assert.equal(new Set(joins(python).map(({ secret }) => secret)).size, joins(python).length, 'secrets rotate');
  });

  test('a server: it hears of its client, answers its offer, and resumes on another instance', async (t) => {
    const room = new Room(relays[0]!);
    const python = stranger(t, room, 'server');
    const { peer: id } = await python.event('joined');
    const client = await native(t, room, 'client');
    const { peer, claims } = await python.event('peer', ({ state }) => state === 'online');
    assert.equal(peer, client.connection.id);
    assert.equal((claims as { sub: string }).sub, 'client');
    const channel = client.listen(client.connection.channel(String(id)));
    await channel.send({ kind: 'offer', gen: 1, sdp: 'v=0\r\n' });
    await python.event('message', ({ kind }) => kind === 'offer');
    python.tell({ do: 'send', to: peer, messages: [{ kind: 'answer', gen: 1, body: { sdp: 'v=0\r\n' } }] });
    const count = 30;
    let cuts = 0;
    await converse(python, String(peer), channel, count, async () => {
      await eventually(() => joins(python).length === cuts + 1, patienceMs);
      python.tell({ do: 'cut' });
      cuts += 1;
    });
    await eventually(() => client.candidates.length >= count && candidatesOf(python).length >= count, patienceMs);
    assert.deepEqual([client.heard[0], client.candidates], ['answer', names(count)]);
    assert.deepEqual(candidatesOf(python), names(count));
    assert.equal(joins(python).length, cuts + 1);
    assert.ok(joins(python).every((one) => one['peer'] === id));

    python.tell({ do: 'frame', frame: { type: 'leave' } });
    assert.equal((await python.event('closed', ({ number }) => number === 1000))['reason'], '');
    await eventually(() => client.heard.at(-1)?.startsWith('closed: ') === true, patienceMs);
    assert.deepEqual(client.presence.slice(-1), ['gone']);
  });

  test('a token that ends soon is replaced within the connection, which the others hear', async (t) => {
    const room = new Room(relays[0]!);
    const server = await native(t, room, 'server');
    const python = stranger(t, room, 'client', { ttls: [20, ttl] });
    const { expiresAt, peer } = await python.event('joined');
    assert.equal((await python.event('token_expiring'))['expiresAt'], expiresAt);
    await eventually(
      () => (server.connection.peer(String(peer))?.claims.exp ?? 0) > Number(expiresAt) + ttl / 2,
      patienceMs,
    );
    assert.equal(joins(python).length, 1);
    python.tell({ do: 'frame', frame: { type: 'ping' } });
    await python.event('pong');
  });

  test('a secret that was used before gives a new identity, and is no error', async (t) => {
    const room = new Room(relays[0]!);
    const python = stranger(t, room, 'client', { process: 'first' });
    const { peer, secret: used } = await python.event('joined');
    python.tell({ do: 'cut' });
    await python.event('joined', ({ resumed }) => resumed === true);
    const claims = { room: room.name, role: 'client', sub: 'client in Python' };
    const frames = [
      { type: 'join', claims, ttl, resume: used, process: 'second' },
      { await: 'joined' },
      { text: '{"type":"leave"}' },
    ];
    python.tell({ do: 'provoke', name: 'late', url: connectUrl(relays[0]!), secret: testSecret, frames });
    const ended = await python.event('ended');
    assert.equal(ended['number'], 1000);
    assert.notEqual(ended['peer'], peer);
  });

  test('goaway: it has moved to the other instance before the old socket is closed; nobody notices', async (t) => {
    const room = new Room(relays[0]!);
    const leaving = await RelayProcess.start({ REDIS_URL: redis.url, DRAIN_WINDOW_MS: '3000' });
    t.after(() => leaving.stop('SIGKILL'));
    const server = await native(t, room, 'server');
    const python = stranger(t, room, 'client', { relays: [leaving, relays[1]!].map(connectUrl), first: offer });
    const channel = await server.opened;
    await python.event('joined');
    const stopped = leaving.stop();
    const asked = await python.event('goaway');
    await converse(python, server.connection.id!, channel, 30);
    const moved = await python.event('joined', ({ resumed }) => resumed === true);
    await stopped;
    await eventually(() => server.candidates.length >= 30 && candidatesOf(python).length >= 30, patienceMs);
    assert.deepEqual([server.candidates, candidatesOf(python)], [names(30), names(30)]);
    const waitedMs = (Number(moved['at']) - Number(asked['at'])) * 1000;
    assert.ok(waitedMs >= Number(asked['afterMs']), `${waitedMs} of ${String(asked['afterMs'])} ms`);
    assert.equal(moved['url'], connectUrl(relays[1]!));
    assert.deepEqual(
      python.events.filter(({ event }) => event === 'closed' || event === 'gave_up'),
      [],
    );
    assert.ok(!server.presence.includes('away') && !server.presence.includes('gone'), String(server.presence));
  });

  test('outcomes: absent until the server comes, then sent again; gone; forbidden', async (t) => {
    const room = new Room(relays[0]!);
    const python = stranger(t, room, 'client', { first: offer });
    await python.event('outcome', ({ code }) => code === 'absent');
    const other = await native(t, room, 'client', relays[1]!.ws);
    const server = await native(t, room, 'server', relays[1]!.ws);
    await server.opened;
    await python.event('acknowledged', ({ seq }) => seq === 1);
    const signal = (id: string, to: string) => python.tell({ do: 'frame', frame: { type: 'signal', id, to, data: 1 } });
    signal('a', 'p-nobody');
    signal('b', other.connection.id!);
    assert.equal((await python.event('outcome', ({ id }) => id === 'a'))['code'], 'gone');
    assert.equal((await python.event('outcome', ({ id }) => id === 'b'))['code'], 'forbidden');
    assert.deepEqual(server.heard, ['offer']);
  });

  test('whatever it does wrong, the relay says what §5 lists', async (t) => {
    const documented = documentedErrors();
    const room = new Room(relays[0]!);
    const python = new PythonProcess(t, 'document_peer.py');
    const claims = { room: room.name, role: 'client', sub: 'wrong' };
    const join = (changed: object = {}, seconds = ttl) => ({
      type: 'join',
      claims: { ...claims, ...changed },
      ttl: seconds,
    });
    const inside = [join(), { await: 'joined' }];
    const now = Math.floor(Date.now() / 1000);
    const wrong: Record<string, unknown[]> = {
      bad_frame: [{ text: '{"type":"join"}' }],
      unknown_type: [{ text: '{"type":"hello"}' }],
      binary_frame: [{ binary: '{}' }],
      frame_too_large: [{ text: JSON.stringify({ type: 'join', token: 'x'.repeat(65_536) }) }],
      not_joined: [{ text: '{"type":"ping"}' }],
      join_pending: [join(), { text: '{"type":"ping"}' }],
      already_joined: [...inside, join()],
      join_timeout: [],
      token_mismatch: [...inside, { ...join({ sub: 'somebody else' }), type: 'token' }],
      token_invalid: [{ text: '{"type":"join","token":"nonsense"}' }],
      token_expired: [join({}, -60)],
      token_not_yet_valid: [join({ nbf: now + 300 })],
      token_wrong_audience: [join({ aud: 'another' })],
      room_taken: [join({ role: 'server', room: `${room.name}, taken` })],
      replaced: [join({ sub: 'replaced' }), { await: 'joined' }],
    };
    const holder = new PythonProcess(t, 'document_peer.py');
    const taken = { room: `${room.name}, taken`, role: 'server', sub: 'holder' };
    const place = { relays: [connectUrl(relays[1]!)], secret: testSecret, ttls: [ttl] };
    holder.tell({ do: 'join', ...place, claims: taken });
    await holder.event('joined');
    for (const [name, frames] of Object.entries(wrong)) {
      // One subject's clients would replace each other.
      const own = frames.map((frame) =>
        typeof frame === 'object' && frame !== null && 'claims' in frame ? { ...frame, process: name } : frame,
      );
      python.tell({ do: 'provoke', name, url: connectUrl(relays[0]!), secret: testSecret, frames: own });
    }
    await python.event('got', ({ name }) => name === 'replaced');
    const newcomer = new PythonProcess(t, 'document_peer.py');
    newcomer.tell({ do: 'join', ...place, claims: { ...claims, sub: 'replaced' }, process: 'replaced' });
    for (const code of Object.keys(wrong)) {
      const { number, reason, error, verdict } = await python.event('ended', ({ name }) => name === code);
      assert.deepEqual({ number, reason, error, verdict }, { reason: code, error: code, ...documented[code] }, code);
    }
    python.tell({
      do: 'provoke',
      name: 'plain',
      url: connectUrl(relays[0]!),
      secret: '',
      frames: [],
      subprotocol: null,
    });
    assert.equal((await python.event('ended', ({ name }) => name === 'plain'))['status'], 400);
  });
});

/** The table of §5, and what its ranges say. */
function documentedErrors(): Record<string, Pick<LineEvent, 'number' | 'verdict'>> {
  const text = readFileSync(new URL('../../PROTOCOL.md', import.meta.url), 'utf8');
  const verdictOf = (number: number) => (number < 4430 ? 'give up' : number < 4450 ? 'another token' : 'come back');
  const table = text.matchAll(/^\| `(\w+)` \| (4\d\d\d) \|/gm);
  return Object.fromEntries(
    Array.from(table, ([, code, number]) => [
      String(code),
      { number: Number(number), verdict: verdictOf(Number(number)) },
    ]),
  );
}
