import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { testSecret } from '../../test/support/relay.ts';
import { eventually } from '../../test/support/wait.ts';
import { createApp } from '../src/http/app.ts';
import { parseConfig } from '../src/config/config.ts';
import { createLogger } from '../src/log.ts';
import { RawPeer, testToken } from './support/peer.ts';

/** A relay whose TURN credentials may live shorter than an operator may have them. */
async function relay(t: TestContext, env: Record<string, string>, turnTtlSeconds = 3600): Promise<string> {
  const config = parseConfig({ RELAY_SECRET: testSecret, STUN_URLS: 'stun:stun.example', ...env });
  const app = await createApp({
    config: { ...config, ice: { ...config.ice, turnTtlSeconds } },
    log: createLogger('silent'),
  });
  t.after(() => app.close());
  return app.listen({ host: '127.0.0.1', port: 0 });
}

const turn = { TURN_URLS: 'turn:turn.example', TURN_SECRET: 'a secret that is shared with coturn' };
const join = (url: string, subject: string): Promise<RawPeer> =>
  RawPeer.join(url, testToken({ room: 'ice', role: 'client', subject, ttl: '7d' }));

test('a peer that stays gets new TURN credentials, each time when half of their life is over', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval', 'Date'], now: Date.now() });
  const halfSeconds = 1800;
  const peer = await join(await relay(t, turn), 'alice');
  const endOf = (frame: { iceServers: { username?: string }[] }): number =>
    Number(/^(\d+):[\da-f]{32}$/.exec(frame.iceServers[1]?.username ?? '')?.[1]);
  let before = endOf(peer.joined);
  for (let round = 0; round < 3; round++) {
    t.mock.timers.tick(halfSeconds * 1000 - 1);
    peer.send({ type: 'ping' });
    await peer.next('pong');
    assert.deepEqual(peer.frames, []);
    t.mock.timers.tick(1);
    const fresh = await peer.next('ice_servers');
    assert.deepEqual(fresh.iceServers[0], { urls: ['stun:stun.example'] });
    assert.equal(endOf(fresh) - before, halfSeconds);
    before = endOf(fresh);
  }
});

test('without TURN there is nothing to renew', async (t) => {
  const [without, withTurn] = [await relay(t, {}, 0.1), await relay(t, turn, 0.1)];
  const [one, two] = [await join(without, 'alice'), await join(withTurn, 'alice')];
  await eventually(() => two.frames.length >= 20);
  assert.deepEqual(one.frames, []);
});
