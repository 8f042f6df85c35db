import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { eventually } from '../../../test/support/wait.ts';
import type { Broker, LocalPeer, Message, RoomSummary } from '../../src/broker/broker.ts';
import type { RoomKey } from '../../src/rooms/ids.ts';
import { ids, newPeer, newRoom, open, options, type Times } from './broker.ts';

/** Times that a test waits for; the lease is longer than a busy machine stands still. */
const brief = { resumeWindowMs: 200, leaseMs: 3_000 };

/** What every broker keeps to. */
export function brokerContract(name: string, create: (times?: Times) => Broker): void {
  suite(`broker contract: ${name}`, () => {
    test('either side may come first, and each sees the other', async (t) => {
      const { broker, local } = await open(t, create());
      const room = newRoom();
      const client = newPeer(room, 'client');
      const server = newPeer(room, 'server');
      assert.deepEqual(await broker.join(client), { id: client.id, others: { version: 0, members: [] } });
      const { others } = await broker.join(server);
      assert.deepEqual(
        others.members.map(({ version: _, joined: __, ...member }) => member),
        [{ id: client.id, instance: broker.instance, role: 'client', state: 'online', claims: client.claims }],
      );
      const late = newPeer(room, 'client', 'late');
      assert.deepEqual(ids((await broker.join(late)).others), [server.id]);
      const news = local.changes.filter(({ id }) => id === late.id);
      assert.equal(news.length, 1);
      assert.deepEqual(news[0]?.claims, late.claims);
      assert.equal(news[0]?.joined, news[0]?.version);
      assert.equal(news[0]?.previous, others.version);
    });

    test('rooms do not see each other', async (t) => {
      const { broker, local } = await open(t, create());
      await broker.join(newPeer(newRoom(), 'server'));
      assert.deepEqual((await broker.join(newPeer(newRoom(), 'client'))).others.members, []);
      assert.equal(local.changes.filter(({ role }) => role === 'client').length <= 1, true);
    });

    test('a second server of another subject is refused, one of the same subject replaces', async (t) => {
      const { broker, local } = await open(t, create());
      const room = newRoom();
      await broker.join(newPeer(room, 'client'));
      const first = newPeer(room, 'server');
      await broker.join(first);
      await assert.rejects(broker.join(newPeer(room, 'server', 'somebody else')), { code: 'room_taken' });
      const second = newPeer(room, 'server');
      await broker.join(second);
      assert.deepEqual(local.messages, [
        { type: 'evict', room, id: first.id, resumeDigest: first.resumeDigest, code: 'replaced' },
      ]);
      assert.deepEqual(
        local.changes.filter(({ role }) => role === 'server').map(({ id, state }) => `${id} ${state}`),
        [`${first.id} online`, `${first.id} gone`, `${second.id} online`],
      );
    });

    test('a lone server is replaced by its own subject and can then be found', async (t) => {
      const { broker } = await open(t, create());
      const room = newRoom();
      await broker.join(newPeer(room, 'server'));
      const second = newPeer(room, 'server');
      await broker.join(second);
      assert.equal((await broker.find(room, second.id))?.state, 'online');
      assert.deepEqual(ids((await broker.join(newPeer(room, 'client'))).others), [second.id]);
    });

    test('clients of one subject live side by side when their processes differ', async (t) => {
      const { broker, local } = await open(t, create());
      const room = newRoom();
      const one = newPeer(room, 'client', 'same', 'one');
      const two = newPeer(room, 'client', 'same', 'two');
      const again = newPeer(room, 'client', 'same', 'one');
      for (const each of [one, two, newPeer(room, 'client', 'same'), newPeer(room, 'client', 'other', 'one')]) {
        await broker.join(each);
      }
      assert.equal(local.messages.length, 0);
      await broker.join(again);
      assert.deepEqual(
        local.messages.map((message) => ('id' in message ? message.id : '')),
        [one.id],
      );
      assert.equal(await broker.find(room, one.id), undefined);
      assert.equal((await broker.find(room, two.id))?.state, 'online');
    });

    test('a lost peer is away, then gone', async (t) => {
      const { broker, local } = await open(t, create(brief));
      const room = newRoom();
      const server = newPeer(room, 'server');
      const client = newPeer(room, 'client');
      await broker.join(server);
      local.held = [{ room, peers: [server], watched: [] }];
      await broker.join(client);
      await broker.depart(client, 'away');
      assert.equal((await broker.find(room, client.id))?.state, 'away');
      assert.equal(local.steps.at(-1), `${client.id} away`);
      await eventually(() => local.steps.at(-1) === `${client.id} gone`);
      assert.equal(local.changes.at(-1)?.lost, undefined, 'it had its time');
      assert.equal(await broker.find(room, client.id), undefined);
    });

    test('the last peer of a room leaves nothing behind', async (t) => {
      const { broker } = await open(t, create());
      const room = newRoom();
      const server = newPeer(room, 'server');
      await broker.join(server);
      await broker.depart(server, 'gone');
      assert.deepEqual((await broker.join(newPeer(room, 'client'))).others, { version: 0, members: [] });
    });

    test('a resume secret brings the identity back, once', async (t) => {
      const { broker, local } = await open(t, create());
      const room = newRoom();
      const server = newPeer(room, 'server');
      const client = newPeer(room, 'client');
      await broker.join(server);
      await broker.join(client);
      await broker.depart(client, 'away');
      const back = newPeer(room, 'client');
      assert.equal((await broker.join(back, client)).id, client.id);
      assert.equal(local.steps.at(-1), `${client.id} online`);
      assert.equal(local.changes.at(-1)?.joined, local.changes.at(-1)?.version);
      // The used secret: a new id in the same place, so that the old id is gone.
      const late = newPeer(room, 'client');
      assert.equal((await broker.join(late, client)).id, late.id);
      assert.deepEqual(local.steps.slice(-2), [`${client.id} gone`, `${late.id} online`]);
    });

    test('a resumed peer outlives the window that it was away in', async (t) => {
      const { broker, local } = await open(t, create(brief));
      const room = newRoom();
      const client = newPeer(room, 'client');
      await broker.join(client);
      await broker.depart(client, 'away');
      const back = newPeer(room, 'client');
      const { id } = await broker.join(back, client);
      local.held = [{ room, peers: [{ ...back, id }], watched: [] }];
      const other = newPeer(room, 'client', 'other');
      await broker.join(other);
      await broker.depart(other, 'away');
      await eventually(async () => (await broker.find(room, other.id)) === undefined);
      assert.equal((await broker.find(room, id))?.state, 'online');
    });

    test('a resume secret is of no use to another subject, role or room', async (t) => {
      const { broker, local } = await open(t, create());
      const room = newRoom();
      const client = newPeer(room, 'client');
      await broker.join(client);
      for (const thief of [
        newPeer(room, 'client', 'thief'),
        newPeer(room, 'server', 'client-1'),
        newPeer(newRoom(), 'client'),
      ]) {
        assert.equal((await broker.join(thief, client)).id, thief.id);
      }
      assert.equal((await broker.find(room, client.id))?.state, 'online');
      assert.deepEqual(local.messages, []);
    });

    test('resuming while the old socket seems alive evicts the old socket, not the identity', async (t) => {
      const { broker, local } = await open(t, create());
      const room = newRoom();
      const client = newPeer(room, 'client');
      await broker.join(client);
      const back = newPeer(room, 'client');
      assert.equal((await broker.join(back, client)).id, client.id);
      const { id, resumeDigest } = client;
      // Without a code: the peer itself has moved, and must not be told anything final.
      assert.deepEqual(local.messages, [{ type: 'evict', room, id, resumeDigest }]);
      // What the old connection does now is stale.
      await broker.depart(client, 'gone');
      assert.equal((await broker.find(room, id))?.state, 'online');
      await broker.depart({ ...back, id }, 'gone');
      assert.equal(await broker.find(room, id), undefined);
    });

    test('a server that is away keeps its place for its own subject only', async (t) => {
      const { broker } = await open(t, create());
      const room = newRoom();
      const server = newPeer(room, 'server');
      await broker.join(server);
      await broker.depart(server, 'away');
      await assert.rejects(broker.join(newPeer(room, 'server', 'somebody else')), { code: 'room_taken' });
      await broker.join(newPeer(room, 'server'));
    });

    test('fresh claims are what later joiners see', async (t) => {
      const { broker, local } = await open(t, create());
      const room = newRoom();
      const server = newPeer(room, 'server');
      await broker.join(server);
      await broker.update({ ...server, claims: { ...server.claims, exp: 4_100_000_000 } });
      assert.equal(
        local.changes.every(({ joined, version }, index) => (joined === version) === (index === 0)),
        true,
      );
      const { others } = await broker.join(newPeer(room, 'client'));
      assert.equal(others.members[0]?.claims.exp, 4_100_000_000);
    });

    test('a revoked jti, subject or room: its peers are removed, and it is refused until the revocation ends', async (t) => {
      const { broker, local } = await open(t, create());
      for (const by of ['jti', 'sub', 'room'] as const) {
        const room = newRoom();
        const server = newPeer(room, 'server', `server of ${room}`);
        const named = (id: string): LocalPeer => {
          const client = newPeer(room, 'client', id);
          return { ...client, claims: { ...client.claims, jti: `token of ${id} in ${room}` } };
        };
        const [bad, good] = [named(`bad in ${room}`), named(`good in ${room}`)];
        for (const each of [server, bad, good]) await broker.join(each);
        local.changes.length = local.messages.length = 0;
        const value = { jti: bad.claims.jti ?? '', sub: bad.claims.sub, room: (JSON.parse(room) as string[])[1] ?? '' }[
          by
        ];
        const until = Date.now() + 60_000;
        // Those of another issuer are other ones.
        assert.equal(await broker.revoke({ by, issuer: 'https://other.example', value, until }), 0);
        assert.equal(await broker.revoke({ by, issuer: '', value, until }), by === 'room' ? 3 : 1);
        const removed = by === 'room' ? [server, bad, good] : [bad];
        const evicted = removed.map(({ id, resumeDigest }) => ({
          type: 'evict',
          room,
          id,
          resumeDigest,
          code: 'token_revoked',
        }));
        const byId = (one: { id: string }, two: { id: string }): number => (one.id < two.id ? -1 : 1);
        assert.deepEqual(local.messages.toSorted(byId), evicted.toSorted(byId));
        for (const { id } of removed) assert.equal(await broker.find(room, id), undefined);
        await assert.rejects(broker.join({ ...named(`bad in ${room}`), claims: bad.claims }), {
          code: 'token_revoked',
        });
        await assert.rejects(broker.join({ ...newPeer(room, 'client'), claims: bad.claims }, bad), {
          code: 'token_revoked',
        });
        if (by === 'room') continue;
        if (by === 'jti') {
          const refreshed = { ...good, claims: { ...good.claims, jti: value } };
          await assert.rejects(broker.update(refreshed), { code: 'token_revoked' });
        }
        assert.equal((await broker.find(room, good.id))?.state, 'online');
        await broker.join(named(`better in ${room}`));
        const shortly = Date.now() + 150;
        await broker.revoke({ by: 'sub', issuer: '', value: `brief in ${room}`, until: shortly });
        const admitted = (): Promise<boolean> =>
          broker.join(named(`brief in ${room}`)).then(
            () => true,
            ({ code }: { code?: string }) => (assert.equal(code, 'token_revoked'), false),
          );
        await eventually(admitted);
        assert.ok(Date.now() >= shortly, 'not before it ends');
      }
    });

    test('a peer that is kicked is gone, and hears of it when it comes back', async (t) => {
      const { broker, local } = await open(t, create());
      const room = newRoom();
      const [server, client] = [newPeer(room, 'server'), newPeer(room, 'client')];
      await broker.join(server);
      await broker.join(client);
      assert.equal(await broker.kick(room, 'p-nobody'), false);
      assert.equal(await broker.kick(newRoom(), client.id), false);
      assert.equal(await broker.kick(room, client.id), true);
      const { id, resumeDigest } = client;
      assert.deepEqual(local.messages, [{ type: 'evict', room, id, resumeDigest, code: 'kicked' }]);
      assert.equal(local.steps.at(-1), `${id} gone`);
      assert.equal(local.changes.at(-1)?.reason, 'kicked');
      await assert.rejects(broker.join(newPeer(room, 'client'), client), { code: 'kicked' });
      const back = newPeer(room, 'client');
      assert.equal((await broker.join(back)).id, back.id);
    });

    test('a peer that is removed while it is away hears of it, and so does who could not hear anything then', async (t) => {
      const { broker, local } = await open(t, create());
      const room = newRoom();
      const [server, kicked, revoked] = [
        newPeer(room, 'server'),
        newPeer(room, 'client', 'k'),
        newPeer(room, 'client', 'r'),
      ];
      for (const each of [server, kicked, revoked]) await broker.join(each);
      for (const each of [server, kicked, revoked]) await broker.depart(each, 'away', 'closed');
      await broker.kick(room, kicked.id);
      await broker.revoke({ by: 'sub', issuer: '', value: revoked.claims.sub, until: Date.now() + 60_000 });
      assert.deepEqual(local.messages, []);
      await assert.rejects(broker.join(newPeer(room, 'client', 'k'), kicked), { code: 'kicked' });
      await assert.rejects(broker.join(newPeer(room, 'client', 'r'), revoked), { code: 'token_revoked' });
      const { others } = await broker.join(newPeer(room, 'server'), server);
      assert.deepEqual(others.removed, [
        { id: kicked.id, reason: 'kicked' },
        { id: revoked.id, reason: 'revoked' },
      ]);
      // Nobody's business who was not here.
      assert.equal((await broker.join(newPeer(room, 'server'))).others.removed, undefined);
    });

    test('why a peer is away or gone', async (t) => {
      const { broker, local } = await open(t, create(brief));
      const room = newRoom();
      const [server, lost, left] = [
        newPeer(room, 'server'),
        newPeer(room, 'client', 'lost'),
        newPeer(room, 'client', 'left'),
      ];
      for (const each of [server, lost, left]) await broker.join(each);
      await broker.depart(left, 'gone', 'left');
      const next = newPeer(room, 'server');
      await broker.join(next);
      local.held = [{ room, peers: [next], watched: [] }];
      await broker.depart(lost, 'away', 'timeout');
      await eventually(() => local.steps.at(-1) === `${lost.id} gone`);
      const why = local.changes.flatMap(({ id, state, reason }) => (reason ? [[id, state, reason]] : []));
      assert.deepEqual(why, [
        [left.id, 'gone', 'left'],
        [server.id, 'gone', 'replaced'],
        [lost.id, 'away', 'timeout'],
        [lost.id, 'gone', 'timeout'],
      ]);
    });

    test('a room takes so many clients; one that comes back, or in the place of another, is none more', async (t) => {
      const { broker } = await open(t, create());
      const room = newRoom();
      const clients = Array.from({ length: options.maxClientsPerRoom }, (_, index) =>
        newPeer(room, 'client', `c ${index}`),
      );
      await broker.join(newPeer(room, 'server'));
      for (const client of clients) await broker.join(client);
      await assert.rejects(broker.join(newPeer(room, 'client', 'one more')), { code: 'room_full' });
      await broker.join(newPeer(room, 'server'));
      await broker.join(newPeer(room, 'client', 'c 0'));
      const [, second, third] = clients as [LocalPeer, LocalPeer, LocalPeer];
      await broker.depart(second, 'away');
      await assert.rejects(broker.join(newPeer(room, 'client', 'one more')), { code: 'room_full' });
      assert.equal((await broker.join(newPeer(room, 'client', 'c 1'), second)).id, second.id);
      await broker.depart(third, 'gone');
      await broker.join(newPeer(room, 'client', 'one more'));
    });

    test('rooms are listed page by page, and peers with what an operator wants to know', async (t) => {
      const { broker } = await open(t, create());
      const keys = Array.from({ length: 5 }, newRoom);
      for (const key of keys) await broker.join(newPeer(key, 'client'));
      const [first, , , , last] = keys as [RoomKey, RoomKey, RoomKey, RoomKey, RoomKey];
      const server = newPeer(first, 'server');
      await broker.join(server);
      await broker.depart(server, 'away');
      const emptied = newPeer(newRoom(), 'client');
      await broker.join(emptied);
      await broker.depart(emptied, 'gone');
      const listed: RoomSummary[] = [];
      for (let cursor: string | undefined, pages = 0; pages === 0 || cursor !== undefined; pages++) {
        const page = await broker.list(2, cursor);
        assert.ok(page.rooms.length <= 2);
        listed.push(...page.rooms);
        cursor = page.after;
      }
      assert.equal(new Set(listed.map(({ room }) => room)).size, listed.length);
      const mine = listed.filter(({ room }) => [...keys, emptied.room].includes(room));
      assert.equal(mine.length, keys.length);
      assert.deepEqual(
        [first, last].map((key) => mine.find(({ room }) => room === key)),
        [
          { room: first, server: 'away', clients: 1 },
          { room: last, clients: 1 },
        ],
      );
      assert.deepEqual(await broker.peersOf(newRoom()), []);
      const resident = (await broker.peersOf(first)).find(({ role }) => role === 'server');
      const { id, claims, since } = server;
      assert.deepEqual(resident, { id, instance: broker.instance, role: 'server', state: 'away', claims, since });
      // Resuming is not coming anew.
      await broker.join({ ...newPeer(first, 'server'), since: since + 5000 }, server);
      assert.equal((await broker.peersOf(first)).find(({ role }) => role === 'server')?.since, since);
    });

    test('an unknown instance is told from a known one', async (t) => {
      const { broker, local } = await open(t, create());
      const message: Message = { type: 'undelivered', room: newRoom(), to: 'p-1', id: '1' };
      assert.equal(await broker.publish('nobody', message), false);
      assert.equal(await broker.publish(broker.instance, message), true);
      await eventually(() => local.messages.length === 1);
      assert.deepEqual(local.messages, [message]);
    });
  });
}
