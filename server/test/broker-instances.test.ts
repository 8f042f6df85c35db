import assert from 'node:assert/strict';
import { after, suite, test, type TestContext } from 'node:test';
import { OwnTime } from '../../test/support/own-time.ts';
import { TcpProxy } from '../../test/support/proxy.ts';
import { RedisServer } from '../../test/support/redis.ts';
import { eventually } from '../../test/support/wait.ts';
import type { Message, LocalPeer } from '../src/broker/broker.ts';
import { newRoom, type Node, onRedis, open, newPeer } from './support/broker.ts';

const redis = await RedisServer.start();
after(() => redis.stop());

suite('redis broker: several instances', { concurrency: false }, () => {
  const create = () => onRedis(redis.url);
  /** A lease that a test waits for. All instances are in this process, and stand still together. */
  const leaseMs = 600;
  const createBrief = () => onRedis(redis.url, { leaseMs });

  test('changes and messages reach the instances that watch, and only those', async (t) => {
    const [a, b, c] = [await open(t, create()), await open(t, create()), await open(t, create())];
    const room = newRoom();
    const server = newPeer(room, 'server');
    const client = newPeer(room, 'client');
    await a.broker.join(server);
    const { others } = await b.broker.join(client);
    assert.equal(others.members[0]?.instance, a.broker.instance);
    await eventually(() => a.local.steps.includes(`${client.id} online`));
    const message: Message = {
      type: 'signal',
      room,
      to: client.id,
      from: server.id,
      id: '1',
      data: '{}',
      origin: a.broker.instance,
    };
    assert.equal(await a.broker.publish(b.broker.instance, message), true);
    await eventually(() => b.local.messages.length === 1);
    assert.deepEqual(b.local.messages, [message]);
    assert.deepEqual([c.local.changes, c.local.messages], [[], []]);
  });

  test('a peer resumes at another instance, and the old one is told', async (t) => {
    const [a, b] = [await open(t, create()), await open(t, create())];
    const room = newRoom();
    const server = newPeer(room, 'server');
    const client = newPeer(room, 'client');
    await a.broker.join(server);
    await a.broker.join(client);
    assert.equal((await b.broker.join(newPeer(room, 'client'), client)).id, client.id);
    await eventually(() => a.local.messages.length === 1);
    assert.equal(a.local.messages[0]?.type, 'evict');
    await eventually(() => a.local.changes.at(-1)?.instance === b.broker.instance);
    assert.equal(a.local.steps.at(-1), `${client.id} online`);
  });

  test('the peers of a dead instance are gone within the lease, announced exactly once', async (t) => {
    const [a, b, c] = [await open(t, createBrief()), await open(t, createBrief()), await open(t, createBrief())];
    const room = newRoom();
    const server = newPeer(room, 'server');
    const client = newPeer(room, 'client');
    await a.broker.join(server);
    a.local.held = [{ room, peers: [server], watched: [] }];
    await b.broker.join(client);
    // An instance judges others once it has been well for a lease.
    const judging = performance.now() + leaseMs;
    await eventually(() => performance.now() > judging);
    await b.broker.close();
    const clock = new OwnTime(t);
    await eventually(() => a.local.steps.includes(`${client.id} gone`));
    // Turns of a machine that has other work to do may come late.
    assert.ok(clock.ms <= leaseMs + 3_000);
    const settled = performance.now() + leaseMs;
    await eventually(() => performance.now() > settled);
    assert.equal(a.local.steps.filter((step) => step === `${client.id} gone`).length, 1);
    assert.equal(a.local.changes.at(-1)?.lost, true);
    assert.deepEqual(c.local.changes, []);
    assert.equal((await a.broker.find(room, server.id))?.state, 'online', 'renewed leases live on');
  });

  test("an outage longer than the lease is nobody's death", async (t) => {
    const [a, b] = [await open(t, createBrief()), await open(t, createBrief())];
    const room = newRoom();
    const server = newPeer(room, 'server');
    const client = newPeer(room, 'client');
    await a.broker.join(server);
    await b.broker.join(client);
    for (const [{ local }, held, watched] of [
      [a, server, 'client'],
      [b, client, 'server'],
    ] as const) {
      local.held = [{ room, peers: [held], watched: [{ role: watched, version: 0 }] }];
    }
    process.kill(redis.pid, 'SIGSTOP');
    await eventually(() => !a.broker.ready && !b.broker.ready);
    process.kill(redis.pid, 'SIGCONT');
    await eventually(() => a.broker.ready && b.broker.ready);
    const settled = performance.now() + 2 * leaseMs;
    await eventually(() => performance.now() > settled);
    assert.deepEqual(
      [...a.local.steps, ...b.local.steps].filter((step) => step.endsWith('gone')),
      [],
    );
    assert.equal((await a.broker.find(room, client.id))?.state, 'online');
  });

  /**
   * An instance on a wire that is cut, one that is well, and the peers that they hold: each other's
   * in one room.
   */
  async function apart(t: TestContext, how: { cutOff: LocalPeer[]; well: LocalPeer[] }) {
    const wire = await TcpProxy.start([redis.port]);
    t.after(() => wire.stop());
    // Long enough that something can happen between the cut and the end of the leases.
    const cutOff = await open(t, onRedis(`redis://127.0.0.1:${wire.port}`, { leaseMs: 10 * leaseMs }));
    const well = await open(t, createBrief());
    for (const [node, peers] of [
      [well, how.well],
      [cutOff, how.cutOff],
    ] as const) {
      for (const each of peers) await node.broker.join(each);
      const held = Map.groupBy(peers, ({ room }) => room);
      node.local.held = Array.from(held, ([room, those]) => ({ room, peers: those, watched: [] }));
    }
    // An instance judges others once it has been well for a lease.
    const judging = performance.now() + leaseMs;
    await eventually(() => performance.now() > judging);
    wire.targets = [];
    wire.drop();
    await eventually(() => !cutOff.broker.ready);
    return { restore: () => (wire.targets = [redis.port]), cutOff, well };
  }

  /** What an instance heard about a peer. */
  const toldOf = ({ local }: Node, { id }: LocalPeer): string[] =>
    local.changes.flatMap((change) => (change.id === id ? `${change.state}${change.lost ? ' lost' : ''}` : []));

  test('an instance that was cut off for longer than a lease brings its peers back under their ids', async (t) => {
    const room = newRoom();
    const [server, client, away] = [newPeer(room, 'server'), newPeer(room, 'client'), newPeer(room, 'client', 'away')];
    const { restore, cutOff, well } = await apart(t, { cutOff: [client, away], well: [server] });
    assert.deepEqual(toldOf(well, client), ['online']);
    await eventually(() => toldOf(well, client).includes('gone lost'));
    await eventually(() => toldOf(well, away).includes('gone lost'));
    cutOff.local.left.add(away);
    restore();
    await eventually(() => toldOf(well, client).at(-1) === 'online');
    assert.deepEqual(toldOf(well, client), ['online', 'gone lost', 'online']);
    const [, gone, back] = well.local.changes.filter(({ id }) => id === client.id);
    assert(gone && back && back.version > gone.version);
    await eventually(() => cutOff.broker.ready);
    assert.equal((await well.broker.find(room, client.id))?.instance, cutOff.broker.instance);
    assert.equal(await well.broker.find(room, away.id), undefined, 'one that went meanwhile stays away');
    assert.deepEqual(cutOff.local.messages, []);
  });

  test('what happened to them meanwhile counts more: somebody has the place, or they were sent away', async (t) => {
    const [taken, usurped, same, replaced] = [newRoom(), newRoom(), newRoom(), newRoom()];
    const [revoked, kicked, moved] = [newRoom(), newRoom(), newRoom()];
    const held = {
      taken: newPeer(taken, 'server'),
      usurped: newPeer(usurped, 'server'),
      same: newPeer(same, 'client', 'same', 'one'),
      beside: newPeer(same, 'client', 'same', 'two'),
      replaced: newPeer(replaced, 'server'),
      revoked: newPeer(revoked, 'client', `revoked in ${revoked}`),
      kicked: newPeer(kicked, 'client'),
      moved: newPeer(moved, 'client'),
    };
    const { restore, cutOff, well } = await apart(t, { cutOff: Object.values(held), well: [] });
    const { broker } = well;
    // Before the lease is over …
    const newcomer = newPeer(replaced, 'server');
    await broker.join(newcomer);
    await broker.depart(newcomer, 'gone');
    assert.equal(await broker.kick(kicked, held.kicked.id), true);
    const resumed = { ...newPeer(moved, 'client'), id: held.moved.id };
    assert.equal((await broker.join(resumed, held.moved)).id, held.moved.id);
    await broker.depart(resumed, 'gone');
    // … and after it.
    await eventually(async () => (await broker.find(taken, held.taken.id)) === undefined);
    const holders = [
      newPeer(taken, 'server'),
      newPeer(usurped, 'server', 'usurper'),
      newPeer(same, 'client', 'same', 'one'),
    ];
    for (const each of holders) await broker.join(each);
    well.local.held = holders.map((each) => ({ room: each.room, peers: [each], watched: [] }));
    await broker.revoke({ by: 'sub', issuer: '', value: held.revoked.claims.sub, until: Date.now() + 60_000 });

    restore();
    await eventually(() => cutOff.broker.ready);
    const ends = Object.fromEntries(
      Object.entries(held).map(([name, { id, resumeDigest }]) => {
        const [end, ...more] = cutOff.local.messages.filter((message) => 'id' in message && message.id === id);
        assert.deepEqual(more, []);
        if (end) assert.equal(end.type === 'evict' && end.resumeDigest, resumeDigest);
        return [name, end?.type === 'evict' ? (end.code ?? 'moved') : 'stays'];
      }),
    );
    assert.deepEqual(ends, {
      taken: 'replaced',
      usurped: 'room_taken',
      same: 'replaced',
      beside: 'stays',
      replaced: 'replaced',
      revoked: 'token_revoked',
      kicked: 'kicked',
      moved: 'moved',
    });
    for (const each of holders) assert.equal((await broker.find(each.room, each.id))?.state, 'online');
    assert.equal(await broker.find(replaced, held.replaced.id), undefined);
  });

  test('a dead server locks nobody out once its lease is over', async (t) => {
    const [a, b] = [await open(t, createBrief()), await open(t, createBrief())];
    const room = newRoom();
    await a.broker.join(newPeer(room, 'server'));
    await a.broker.close();
    const next = newPeer(room, 'server', 'somebody else');
    await eventually(() =>
      b.broker.join(next).then(
        () => true,
        () => false,
      ),
    );
  });

  test('a seat that departs while it is renewed is not written again', async (t) => {
    const { broker, local } = await open(t, createBrief());
    const room = newRoom();
    const [left, stays] = [newPeer(room, 'client', 'left'), newPeer(room, 'client', 'stays')];
    local.left.add(left);
    local.held = [{ room, peers: [left, stays], watched: [] }];
    await eventually(async () => (await broker.find(room, stays.id)) !== undefined);
    assert.equal(await broker.find(room, left.id), undefined);
    local.held = [];
    await broker.depart(stays, 'gone');
  });

  test('nothing is left in Redis when all peers have left', async (t) => {
    // Connections that lost their place in other tests are remembered.
    await redis.command('FLUSHALL');
    const { broker, local } = await open(t, createBrief());
    const peers = Array.from({ length: 40 }, (_, index) => newPeer(newRoom(), index % 2 ? 'server' : 'client'));
    for (const each of peers) await broker.join(each);
    local.held = peers.map((peer) => ({ room: peer.room, peers: [peer], watched: [] }));
    const [{ room }] = peers as [LocalPeer];
    broker.noteError(room, { at: Date.now(), code: 'room_full', role: 'client', sub: 'late', times: 1 });
    await eventually(async () => (await broker.errorsOf(room)).length === 1);
    local.held = [];
    for (const each of peers) await broker.depart(each, 'gone');
    // But that instances are alive, which ends by itself.
    const left = async (): Promise<string[]> =>
      (await redis.command('KEYS *'))
        .split('\r\n')
        .filter((line) => line.startsWith('rendezvous') && !line.endsWith(':alive'));
    await eventually(async () => (await left()).length === 0);
  });
});
