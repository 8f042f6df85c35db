import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PeerState } from 'mcp-rendezvous-protocol';
import type { Change, PeerRecord } from '../src/broker/broker.ts';
import { roomKeyOf } from '../src/rooms/ids.ts';
import { PresenceView, type PresenceEvent } from '../src/rooms/presence.ts';

const claims = { sub: 's', role: 'client', exp: 1 } as const;
const grace = 100;

const change = (id: string, state: PeerState, version: number, previous = version - 1, joined = 1): Change => ({
  room: roomKeyOf('', 'r'),
  role: 'client',
  id,
  state,
  instance: 'i',
  claims,
  version,
  previous,
  joined,
});

const member = (id: string, version: number, more: Partial<PeerRecord> = {}): PeerRecord => ({
  id,
  instance: 'i',
  role: 'client',
  state: 'online',
  claims,
  version,
  joined: version,
  ...more,
});

const told = (notices: (PresenceEvent | undefined)[]): string[] =>
  notices.flatMap((notice) => (notice ? `${notice.peer.id} ${notice.state}${notice.lost ? ' lost' : ''}` : []));

const ids = (view: PresenceView): string[] => Array.from(view.values(), ({ id }) => id);

test('changes in order are told one by one, and the version follows', () => {
  const view = new PresenceView();
  const steps = [change('a', 'online', 1), change('b', 'online', 2), change('a', 'away', 3), change('a', 'gone', 4)];
  assert.deepEqual(told(steps.map((step) => view.apply(step))), ['a online', 'b online', 'a away', 'a gone']);
  assert.deepEqual([view.version, ...ids(view)], [4, 'b']);
});

test('doubled and late changes are not told, and a peer that went does not come back', () => {
  const view = new PresenceView();
  view.apply(change('a', 'online', 1));
  view.apply(change('a', 'gone', 3, 2));
  const late = [change('a', 'away', 2), change('a', 'gone', 3, 2), change('a', 'online', 1)];
  assert.deepEqual(told(late.map((step) => view.apply(step))), []);
  assert.deepEqual([view.version, view.size], [3, 0]);
});

test('the version stays behind a gap until the gap is filled', () => {
  const view = new PresenceView();
  view.apply(change('a', 'online', 1));
  view.apply(change('c', 'online', 3));
  assert.equal(view.version, 1);
  view.apply(change('b', 'online', 2));
  assert.equal(view.version, 3);
});

test('a resumption is told even if the loss of the socket was never heard of', () => {
  const view = new PresenceView();
  view.apply(change('a', 'online', 1));
  assert.deepEqual(told([view.apply(change('a', 'online', 2, 1, 2))]), ['a online']);
  assert.deepEqual(told([view.apply(change('a', 'online', 3, 2, 2))]), [], 'fresh claims only');
});

test('a listing that overtakes a resumption tells it, once', () => {
  const view = new PresenceView();
  view.apply(change('a', 'online', 1));
  assert.deepEqual(told(view.merge({ version: 2, members: [member('a', 2)] }, 0, grace)), ['a online']);
  assert.deepEqual(told([view.apply(change('a', 'online', 2, 1, 2))]), []);
});

test('a listing completes what was missed, but does not undo what is newer', () => {
  const view = new PresenceView();
  view.apply(change('old', 'online', 1));
  view.apply(change('newer', 'online', 7, 6));
  view.apply(change('left', 'gone', 6, 5));
  const listing = {
    version: 5,
    members: [member('old', 3, { state: 'away' }), member('missed', 4), member('left', 5)],
  };
  assert.deepEqual(told(view.merge(listing, 0, grace)), ['old away', 'missed online']);
  assert.deepEqual(ids(view), ['old', 'newer', 'missed']);
  assert.equal(view.version, 7, 'the listing joins the chain');
});

test('a peer missing from listings is given up after the grace, and the version stays behind until then', () => {
  const view = new PresenceView();
  view.apply(change('a', 'online', 1));
  view.apply(change('b', 'online', 2));
  assert.deepEqual(told(view.merge({ version: 9, members: [] }, 1000, grace)), []);
  assert.equal(view.version, 2);
  // b is written again by its instance.
  assert.deepEqual(told(view.merge({ version: 10, members: [member('b', 10, { joined: 0 })] }, 1050, grace)), []);
  assert.deepEqual(told(view.merge({ version: 10, members: [member('b', 10, { joined: 0 })] }, 1100, grace)), [
    'a gone lost',
  ]);
  assert.deepEqual([view.version, ...ids(view)], [10, 'b']);
});

test('a peer that was taken for dead comes back, and may go again; what is older than that changes nothing', () => {
  const view = new PresenceView();
  const steps = [
    change('a', 'online', 1),
    { ...change('a', 'gone', 2), lost: true as const },
    change('a', 'online', 4, 3, 0),
    change('a', 'away', 3),
    change('a', 'gone', 5, 4),
  ];
  assert.deepEqual(told(steps.map((step) => view.apply(step))), ['a online', 'a gone lost', 'a online', 'a gone']);
  assert.deepEqual(told(view.merge({ version: 4, members: [member('a', 4)] }, 0, grace)), []);
  // By a listing, too.
  assert.deepEqual(told(view.merge({ version: 6, members: [member('a', 6)] }, 0, grace)), ['a online']);
});

test('who is missing from listings after it was away is gone for good, and so is a server when another one is listed', () => {
  const clients = new PresenceView();
  clients.apply(change('a', 'online', 1));
  clients.apply(change('a', 'away', 2));
  clients.merge({ version: 3, members: [] }, 0, grace);
  assert.deepEqual(told(clients.merge({ version: 3, members: [] }, grace, grace)), ['a gone']);
  const servers = new PresenceView();
  servers.apply({ ...change('s1', 'online', 1), role: 'server' });
  assert.deepEqual(told(servers.merge({ version: 3, members: [member('s2', 3, { role: 'server' })] }, 0, grace)), [
    's2 online',
    's1 gone',
  ]);
  assert.equal(servers.version, 3);
});
