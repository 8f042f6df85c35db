import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startApp } from './support/app.ts';
import { RawPeer, testToken } from './support/peer.ts';

const server = (room: string) => testToken({ room, role: 'server' });
const client = (room: string, subject = 'client-1') => testToken({ room, role: 'client', subject });

test('a server and a client of one room are paired and signal each other', async (t) => {
  const { url } = await startApp(t);
  const s = await RawPeer.join(url, server('a'));
  assert.deepEqual(s.joined.peers, []);
  const c = await RawPeer.join(url, client('a'));
  assert.deepEqual(
    c.joined.peers.map(({ id, state, claims }) => ({ id, state, role: claims.role, sub: claims.sub })),
    [{ id: s.id, state: 'online', role: 'server', sub: 'server-1' }],
  );
  assert.equal((await s.sees(c, 'online')).claims?.sub, 'client-1');
  c.signal(s, { kind: 'x', n: [1, { deep: null }] });
  assert.deepEqual(await s.next('signal'), { type: 'signal', from: c.id, data: { kind: 'x', n: [1, { deep: null }] } });
  s.signal(c, 'text');
  assert.deepEqual(await c.next('signal'), { type: 'signal', from: s.id, data: 'text' });
});
