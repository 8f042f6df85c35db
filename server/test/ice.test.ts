import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { testSecret } from '../../test/support/relay.ts';
import { eventually } from '../../test/support/wait.ts';
import { createApp } from '../src/http/app.ts';
import { parseConfig } from '../src/config/config.ts';
import { createLogger } from '../src/log.ts';
import { RawPeer, testToken } from './support/peer.ts';

/** A relay whose TURN credentials live shorter than an operator may have them. */
async function relay(t: TestContext, env: Record<string, string>, turnTtlSeconds: number): Promise<string> {
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
  RawPeer.join(url, testToken({ room: 'ice', role: 'client', subject }));

test('a peer that stays gets new TURN credentials, each time when half of their life is over', async (t) => {
  const ttl = 6;
  const peer = await join(await relay(t, turn, ttl), 'alice');
  const endOf = (frame: { iceServers: { username?: string }[] }): number =>
    Number(/^(\d+):alice$/.exec(frame.iceServers[1]?.username ?? '')?.[1]);
  let before = endOf(peer.joined);
  for (let round = 0; round < 2; round++) {
    const fresh = await peer.next('ice_servers', undefined, 20_000);
    assert.deepEqual(fresh.iceServers[0], { urls: ['stun:stun.example'] });
    const later = endOf(fresh) - before;
    assert.ok(later >= ttl / 2 - 1 && later < ttl, `made ${later} s after those before, whose life is ${ttl} s`);
    before = endOf(fresh);
  }
});

test('without TURN there is nothing to renew', async (t) => {
  const [without, withTurn] = [await relay(t, {}, 0.1), await relay(t, turn, 0.1)];
  const [one, two] = [await join(without, 'alice'), await join(withTurn, 'alice')];
  await eventually(() => two.frames.length >= 20);
  assert.deepEqual(one.frames, []);
});
