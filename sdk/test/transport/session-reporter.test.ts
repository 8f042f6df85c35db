import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { RendezvousError, type SessionReport } from 'mcp-rendezvous-protocol';
import type { RemotePeer } from '../../src/signaling/relay-connection.ts';
import { SessionReporter } from '../../src/transport/session-reporter.ts';
import { ManualClock } from '../manual-clock.ts';

const server = (id: string, subject = 'desk'): RemotePeer => ({
  id,
  subject,
  claims: { sub: subject, role: 'server', exp: 4_000_000_000 },
});

/** A relay that takes reports, and the peers that are in the room. */
function reporting(first: RemotePeer | undefined = server('p-1')) {
  const clock = new ManualClock();
  const sent: SessionReport[] = [];
  const relay = {
    present: first ? [first] : [],
    onready: undefined as (() => void) | undefined,
    report: (report: SessionReport) => void sent.push(report),
    *peers() {
      yield* relay.present;
    },
  };
  const reporter = new SessionReporter(relay, () => first, clock);
  return { clock, relay, reporter, sent: () => sent.splice(0) };
}

const connected = (path: 'direct' | 'turn' | 'relayed', peer = 'p-1') => ({ type: 'connected', peer, path });

void suite('what a client reports of its session', () => {
  test('direct and TURN at once; relayed when the session stays there', async () => {
    const { clock, reporter, sent } = reporting();
    reporter.moved('relayed');
    await clock.advance(4_999);
    assert.deepEqual(sent(), []);
    await clock.advance(1);
    assert.deepEqual(sent(), [connected('relayed')]);
    reporter.moved('turn');
    assert.deepEqual(sent(), [connected('turn')]);
    reporter.moved('direct');
    assert.deepEqual(sent(), [connected('direct')]);
    await clock.advance(60_000);
    assert.deepEqual([sent(), clock.timers], [[], 0]);
  });

  test('a moment on the relayed path is not told', async () => {
    const { clock, reporter, sent } = reporting();
    reporter.moved('relayed');
    await clock.advance(1_000);
    reporter.moved('direct');
    await clock.advance(60_000);
    assert.deepEqual(sent(), [connected('direct')]);
  });

  test('a session that ends within that moment has been relayed', () => {
    const { clock, reporter, sent } = reporting();
    reporter.moved('relayed');
    reporter.ended(undefined);
    assert.deepEqual([sent(), clock.timers], [[connected('relayed')], 0]);
  });

  test('why it failed, before it began or later; what the application wanted is no failure', () => {
    for (const code of ['ice_failed', 'secret_mismatch', 'connect_timeout', 'session_lost', 'busy'] as const) {
      const { reporter, sent } = reporting();
      reporter.ended(new RendezvousError(code, 'No.'));
      assert.deepEqual(sent(), [{ type: 'failed', peer: 'p-1', code }]);
    }
    for (const code of ['closed', 'aborted'] as const) {
      const { reporter, sent } = reporting();
      reporter.ended(new RendezvousError(code, 'No.'));
      assert.deepEqual(sent(), []);
    }
  });

  test('again when this side has joined again, under whatever id the server has', () => {
    const { relay, reporter, sent } = reporting();
    relay.onready?.();
    assert.deepEqual(sent(), []);
    reporter.moved('direct');
    assert.deepEqual(sent(), [connected('direct')]);
    relay.present = [];
    relay.onready?.();
    assert.deepEqual(sent(), []);
    relay.present = [server('p-2', 'another'), server('p-3')];
    relay.onready?.();
    assert.deepEqual(sent(), [connected('direct', 'p-3')]);
    reporter.ended(undefined);
    relay.onready?.();
    assert.deepEqual(sent(), []);
  });

  test('nothing while it is not settled, and nothing without a server', async () => {
    const { clock, relay, reporter, sent } = reporting();
    reporter.moved('relayed');
    relay.onready?.();
    assert.deepEqual(sent(), []);
    await clock.advance(5_000);
    relay.onready?.();
    assert.deepEqual(sent(), [connected('relayed'), connected('relayed')]);
    const alone = reporting();
    alone.relay.present = [];
    alone.reporter.moved('direct');
    alone.reporter.ended(new RendezvousError('peer_gone', 'It left.'));
    assert.deepEqual(alone.sent(), []);
  });
});
