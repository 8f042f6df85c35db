import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeJwt } from 'jose';
import type { FrameFromRelay } from 'mcp-rendezvous-protocol';
import { testSecret } from '../../test/support/relay.ts';
import { KeyStore } from '../src/auth/key-store.ts';
import type { LocalPeer } from '../src/broker/broker.ts';
import { MemoryBroker } from '../src/broker/memory.ts';
import { parseConfig } from '../src/config/config.ts';
import { Invitations } from '../src/connections/invitations.ts';
import { createLogger } from '../src/log.ts';
import { roomKeyOf } from '../src/rooms/ids.ts';
import { testMetrics } from './support/broker.ts';

const day = 86_400;

test('one server fills no memory with revocations: a thousand, and then one in five minutes', async (t) => {
  const config = parseConfig({ RELAY_SECRET: testSecret });
  const log = createLogger('silent');
  const keyStore = new KeyStore(config, log);
  t.after(() => keyStore.close());
  const invitations = new Invitations({ keyStore, broker: new MemoryBroker(config.limits), metrics: testMetrics, log });
  const exp = Math.floor(Date.now() / 1000) + day;
  const server = (sub: string): LocalPeer => ({
    room: roomKeyOf('', 'desk'),
    id: sub,
    resumeDigest: '',
    role: 'server',
    process: '',
    since: 0,
    claims: { sub, role: 'server', jti: sub, exp, invite: 90 * day },
  });
  let now = 1;
  t.mock.method(performance, 'now', () => now);
  const ask = async (peer: LocalPeer, frame: Parameters<Invitations['handle']>[1]): Promise<FrameFromRelay> => {
    // What may be asked in all is another rate.
    now += 6000;
    let answer: FrameFromRelay | undefined;
    await invitations.handle(peer, frame, {
      send: (sent) => (answer = sent),
      fail: (error) => assert.fail(String(error)),
    });
    return answer ?? assert.fail('no answer');
  };
  const revokeOne = async (peer: LocalPeer) => {
    const invited = await ask(peer, { type: 'invite', id: 'i' });
    assert.ok(invited.type === 'invited');
    const { jti = '' } = decodeJwt(invited.token);
    return await ask(peer, { type: 'revoke', id: 'r', jti });
  };
  const done = { type: 'outcome', id: 'r', code: 'done' };
  // It takes 3 h 20 min, in which some more may be revoked.
  const most = 1000 + (2000 * 6) / 300;
  let count = 0;
  let answer: FrameFromRelay = await revokeOne(server('one'));
  for (; 'code' in answer && answer.code === 'done'; count += 1) answer = await revokeOne(server('one'));
  assert.ok(count >= 1000 && count <= most + 1, String(count));
  assert.ok('retryAfterMs' in answer && Number(answer.retryAfterMs) <= 300_000, JSON.stringify(answer));
  assert.deepEqual(await revokeOne(server('another')), done);
  now += 300_000;
  assert.deepEqual(await revokeOne(server('one')), done);
});
