import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { Role } from 'mcp-rendezvous-protocol';
import { eventually } from '../../../test/support/wait.ts';
import {
  type Broker,
  errorsOfOne,
  type PeerError,
  rememberedErrors,
  type SessionNote,
} from '../../src/broker/broker.ts';
import { newPeer, newRoom, open, type Times } from './broker.ts';

/** What every broker tells an operator of a room besides its peers. */
export function notesContract(name: string, create: (times?: Times) => Broker): void {
  suite(`notes of rooms: ${name}`, () => {
    test('the last errors of a room are kept while it has peers, the same ones as one', async (t) => {
      const { broker, local } = await open(t, create({ leaseMs: 3_000 }));
      const [room, empty] = [newRoom(), newRoom()];
      const client = newPeer(room, 'client');
      await broker.join(client);
      local.held = [{ room, peers: [client], watched: [] }];
      const error = (n: number, sub = 'other "server" ü') =>
        ({ at: 1_800_000_000_000 + n, code: 'room_taken', role: 'server', sub, times: 1 }) as const;
      const limited = { ...error(1, 'greedy'), code: 'rate_limited', limit: 'MAX_BYTES_PER_SECOND' } as const;
      const noted = async (expected: object[]): Promise<void> => {
        await eventually(async () => isDeepStrictEqual(await broker.errorsOf(room), expected));
      };
      assert.deepEqual(await broker.errorsOf(room), []);
      broker.noteError(empty, error(0));
      broker.noteError(room, error(0));
      await noted([error(0)]);
      broker.noteError(room, limited);
      broker.noteError(room, error(2));
      broker.noteError(room, error(3));
      await noted([limited, { ...error(3), times: 3 }]);
      assert.deepEqual(await broker.errorsOf(empty), []);
      const many = Array.from({ length: rememberedErrors + 5 }, (_, n) => error(10 + n, `subject ${n}`));
      for (const each of many) broker.noteError(room, each);
      await noted(many.slice(5));
      local.held = [];
      await broker.depart(client, 'gone');
      assert.deepEqual(await broker.errorsOf(room), []);
      await broker.join(newPeer(room, 'client'));
      assert.deepEqual(await broker.errorsOf(room), []);
    });

    test('one subject does not push the errors of others out of the list', async (t) => {
      const { broker, local } = await open(t, create({ leaseMs: 3_000 }));
      const room = newRoom();
      const client = newPeer(room, 'client');
      await broker.join(client);
      local.held = [{ room, peers: [client], watched: [] }];
      const note = (code: string, sub: string) => {
        const error: PeerError = { at: 1_800_000_000_000, code, role: 'client', sub, times: 1 };
        broker.noteError(room, error);
        return error;
      };
      const noted = async (expected: object[]): Promise<void> => {
        await eventually(async () => isDeepStrictEqual(await broker.errorsOf(room), expected));
      };
      const other = note('token_expired', 'other');
      await noted([other]);
      const made = Array.from({ length: rememberedErrors + 5 }, (_, n) => note(`made_up_${n}`, 'talkative'));
      await noted([other, ...made.slice(-errorsOfOne)]);
      // The same of what is added later, one by one.
      const last = note('made_up', 'talkative');
      await noted([other, ...made.slice(1 - errorsOfOne), last]);
    });

    /** A server and a client in a room, and one of the client's notes as an operator sees it. */
    async function joinedPair(t: TestContext, note: 'relayedAt' | 'session') {
      const { broker, local } = await open(t, create({ leaseMs: 3_000 }));
      const room = newRoom();
      const [server, client] = [newPeer(room, 'server'), newPeer(room, 'client')];
      await broker.join(server);
      await broker.join(client);
      local.held = [{ room, peers: [server, client], watched: [] }];
      const noteOf = async (role: Role): Promise<unknown> =>
        (await broker.peersOf(room)).find((peer) => peer.role === role)?.[note];
      /** Asserts that it stays when the client is away and has resumed. Its server has none. */
      const assertStays = async (expected: unknown): Promise<void> => {
        await broker.depart(client, 'away');
        local.held = [{ room, peers: [server], watched: [] }];
        assert.deepEqual(await noteOf('client'), expected);
        await broker.join(newPeer(room, 'client'), client);
        assert.deepEqual(await noteOf('client'), expected);
        assert.equal(await noteOf('server'), undefined);
      };
      return { client, noteOf, assertStays };
    }

    test('when data was last relayed for a peer is known, and still when it is away and has resumed', async (t) => {
      const { client, noteOf, assertStays } = await joinedPair(t, 'relayedAt');
      assert.equal(await noteOf('client'), undefined);
      const at = (client.relayedAt = Date.now());
      await eventually(async () => (await noteOf('client')) === at);
      await assertStays(at);
    });

    test('what a client reports of its session is known, changes, and stays when it is away and has resumed', async (t) => {
      const { client, noteOf, assertStays } = await joinedPair(t, 'session');
      const becomes = async (expected: SessionNote): Promise<void> => {
        client.session = expected;
        await eventually(async () => isDeepStrictEqual(await noteOf('client'), expected));
      };
      assert.equal(await noteOf('client'), undefined);
      await becomes({ at: Date.now(), path: 'relayed' });
      await becomes({ at: Date.now() });
      await becomes({ at: Date.now(), path: 'turn' });
      await assertStays(client.session);
    });
  });
}
