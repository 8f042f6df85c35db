import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { suite, test } from 'node:test';
import { RendezvousError } from 'mcp-rendezvous-protocol';
import { ManualClock } from '../manual-clock.ts';
import { Recovery } from '../../src/transport/recovery.ts';
import { gone, setUp, Target, windowMs } from './recovery-target.ts';

void suite('recovery', () => {
  test('an offerer restarts ICE first, then makes new connections with pauses, and is connected by one', async () => {
    const { clock, target, states, recovery } = setUp(true);
    target.canRestart = true;
    recovery.lost(gone());
    assert.deepEqual([recovery.state, target.live], ['restarting', ['restart']]);
    target.settle(gone());
    await turn();
    assert.deepEqual([recovery.state, target.live], ['redialling', ['dial']]);
    target.settle('works');
    await turn();
    target.settle(gone());
    await turn();
    assert.deepEqual([recovery.state, target.live], ['waiting', []]);
    await clock.advance(499);
    assert.equal(recovery.state, 'waiting');
    await clock.advance(1);
    assert.deepEqual([recovery.state, target.live], ['redialling', ['dial']]);
    target.settle('works');
    await turn();
    target.inHandshake = true;
    recovery.found();
    target.settle('works');
    await turn();
    assert.deepEqual([recovery.state, states, target.given], ['stable', ['recovering', 'connected'], []]);
    assert.equal(clock.timers, 0);
  });

  test('an answerer starts nothing and waits, longer than an offerer tries', async () => {
    const { clock, target, recovery } = setUp(false);
    recovery.lost(gone());
    await clock.advance(windowMs.offerer);
    assert.deepEqual([recovery.state, target.started], ['waiting', []]);
    await clock.advance(windowMs.answerer - windowMs.offerer);
    assert.deepEqual([recovery.state, target.given.map(({ code }) => code)], ['over', ['session_lost']]);
  });

  test('a network that changes is asked about, cuts a pause short, and hurries signaling', async () => {
    const { clock, target, recovery } = setUp(true);
    recovery.networkChanged();
    recovery.networkChanged();
    assert.deepEqual([recovery.state, target.probes, target.hurries], ['probing', 2, 2]);
    await clock.advance(2_000);
    assert.equal(recovery.state, 'stable');
    recovery.lost(gone());
    target.settle('works');
    await turn();
    target.settle(gone());
    await turn();
    assert.equal(recovery.state, 'waiting');
    recovery.networkChanged();
    assert.equal(recovery.state, 'redialling');
  });

  test('where there is another path a connection has less time to answer', async () => {
    for (const [fallsBack, withinMs] of [
      [true, 1_000],
      [false, 2_000],
    ] as const) {
      const { target, recovery } = setUp(true);
      target.fallsBack = fallsBack;
      recovery.networkChanged();
      assert.equal(target.probedForMs, withinMs);
      recovery.end();
    }
  });

  test('a path in doubt makes sure of signaling; nothing else happens', () => {
    const { target, clock, states, recovery } = setUp(true);
    recovery.doubted();
    assert.deepEqual([target.hurries, recovery.state, states, clock.timers], [1, 'stable', [], 0]);
    recovery.end();
    recovery.doubted();
    assert.equal(target.hurries, 1);
  });

  test('a peer that comes back to the relay is asked whether the connection stands, unless that is known', () => {
    const { target, recovery } = setUp(true);
    recovery.socketClosed(false);
    assert.deepEqual([target.probes, recovery.state], [1, 'stable']);
    recovery.lost(gone());
    recovery.socketClosed(false);
    assert.equal(target.probes, 1);
    recovery.end();
  });

  test('while nothing carries the session signaling is hurried at once, and each second', async () => {
    const { clock, target, recovery } = setUp(true);
    recovery.lost(gone());
    for (let second = 1; second <= 20; second++) {
      assert.equal(target.hurries, second);
      await clock.advance(1_000);
    }
    recovery.covered();
    const before = target.hurries;
    await clock.advance(10_000);
    assert.equal(target.hurries, before, 'nothing is urgent while another path carries it');
    recovery.end();
  });

  test('while nothing carries the session a pause between two attempts takes at most 1 s', async (t) => {
    t.mock.method(Math, 'random', () => 0.999);
    const clock = new ManualClock();
    const target = new Target(true);
    const recovery = new Recovery(target, { onstate: () => {}, onerror: () => {} }, clock);
    recovery.lost(gone());
    for (let attempt = 0; attempt < 20; attempt++) {
      target.settle('works');
      await turn();
      target.settle(gone());
      await turn();
      assert.equal(recovery.state, 'waiting');
      await clock.advance(1_000);
      assert.equal(recovery.state, 'redialling');
    }
    recovery.end();
  });

  test('a path that the other side leaves for a connection in its handshake is no loss, unless that fails', async () => {
    for (const offers of [true, false]) {
      const { clock, target, states, recovery } = setUp(offers);
      recovery.lost(gone());
      recovery.covered();
      assert.deepEqual(states, ['recovering', 'connected']);
      if (offers) {
        target.settle('works');
        await turn();
      }
      target.inHandshake = true;
      recovery.lost(gone());
      await clock.advance(900);
      recovery.found();
      await clock.advance(2_000);
      assert.deepEqual([recovery.state, states, clock.timers], ['stable', ['recovering', 'connected'], 0]);

      recovery.lost(gone());
      recovery.covered();
      if (offers) {
        target.settle('works');
        await turn();
      }
      recovery.lost(gone());
      await clock.advance(1_000);
      assert.deepEqual(states.slice(2), ['recovering', 'connected', 'recovering'], 'it takes too long');
      recovery.covered();
      if (offers) {
        target.settle('works');
        await turn();
      }
      // A path may have died when the handshake had begun.
      target.handshakeMs = 5_000;
      recovery.lost(gone());
      assert.deepEqual(states.slice(5), ['connected', 'recovering']);
      recovery.end();
    }
  });

  test('without signaling an open channel may still come back; a closed one ends the session at once', async () => {
    for (const channelOpen of [true, false]) {
      const { target, recovery } = setUp(true);
      target.channelOpen = channelOpen;
      recovery.lost(gone());
      target.settle(new RendezvousError('room_taken', 'another server is there'));
      await turn();
      assert.equal(recovery.state, channelOpen ? 'waiting' : 'over');
      assert.deepEqual(
        target.given.map(({ code, cause }) => [code, (cause as RendezvousError).code]),
        channelOpen ? [] : [['session_lost', 'room_taken']],
      );
      recovery.found();
      assert.equal(recovery.state, channelOpen ? 'stable' : 'over');
    }
  });

  test('a connection in its handshake goes on when the old one comes back, anything else is ended', async () => {
    for (const attaching of [true, false]) {
      const { target, errors, recovery } = setUp(true);
      recovery.lost(gone());
      target.settle('works');
      await turn();
      target.inHandshake = attaching;
      recovery.found();
      assert.deepEqual(target.live, attaching ? ['reconnect'] : []);
      // Its failure does not matter any more.
      target.settle(gone());
      await turn();
      assert.deepEqual([recovery.state, errors], ['stable', []]);
    }
  });

  test('what is left over from before the old connection came back does not end a later attempt', async () => {
    const { target, errors, recovery } = setUp(true);
    recovery.lost(gone());
    target.settle('works');
    await turn();
    target.inHandshake = true;
    recovery.found();
    const [leftOver] = target.open;
    recovery.lost(gone());
    leftOver?.reject(new RendezvousError('secret_mismatch', 'no'));
    await turn();
    assert.deepEqual([recovery.state, target.given, errors], ['redialling', [], []]);
  });

  for (const code of ['secret_mismatch', 'peer_refused', 'session_lost'] as const) {
    test(`${code} is final`, async () => {
      const { target, recovery } = setUp(true);
      recovery.lost(gone());
      target.settle('works');
      await turn();
      target.settle(new RendezvousError(code, 'no'));
      await turn();
      assert.deepEqual([recovery.state, target.given.map((error) => error.code)], ['over', [code]]);
    });
  }

  test('on TURN the offerer looks for a direct connection, ever less often, and is told as connected', async () => {
    const { clock, target, states, errors, recovery } = setUp(true);
    recovery.detoured();
    let attempts = 0;
    for (const pauseMs of [30_000, 60_000, 120_000, 240_000, 480_000, 600_000, 600_000]) {
      await clock.advance(pauseMs - 1);
      assert.deepEqual(target.live, []);
      await clock.advance(1);
      target.settle('works'); // the signaling
      await turn();
      assert.deepEqual([target.live, target.better], [['reconnect'], true]);
      target.settle(new RendezvousError('ice_failed', 'no direct path'));
      await turn();
      attempts++;
    }
    // Another network may have one: at once.
    recovery.networkChanged();
    assert.deepEqual(target.live, ['dial']);
    // And when TURN fails, any path will do.
    recovery.lost(gone());
    target.settle('works');
    await turn();
    assert.deepEqual([target.live, target.better], [['reconnect'], false]);
    recovery.found();
    await turn();
    assert.deepEqual([attempts, recovery.state, clock.timers], [7, 'stable', 0]);
    assert.deepEqual([states, errors], [['recovering', 'connected'], []]);
  });

  test('where no connection can be made nobody is asked for one until it can, or the path is lost', async () => {
    const { clock, target, recovery } = setUp(true);
    target.mayConnect = false;
    recovery.begin();
    target.settle(gone());
    await clock.advance(600_000);
    assert.deepEqual(target.started, ['upgrade']);
    recovery.lost(gone());
    await turn();
    assert.deepEqual(target.live, ['dial']);
    target.settle('works');
    await turn();
    recovery.covered();
    target.settle(gone());
    await clock.advance(600_000);
    assert.deepEqual(target.started, ['upgrade', 'dial', 'reconnect']);
    target.mayConnect = true;
    await clock.advance(60_000);
    assert.deepEqual(target.live, ['dial']);
    recovery.end();
  });

  test('an answerer on TURN waits for the offers of the other side', () => {
    const { clock, recovery } = setUp(false);
    recovery.detoured();
    assert.deepEqual([recovery.state, clock.timers], ['stable', 0]);
  });

  test('a peer that has left for good is waited for only while a connection stands', async () => {
    for (const offers of [true, false]) {
      const { target, recovery } = setUp(offers);
      recovery.left();
      assert.deepEqual([target.probes, target.given], [1, []]);
      recovery.lost(gone());
      assert.deepEqual([recovery.state, target.given[0]?.code], ['over', 'session_lost']);
      const lost = setUp(offers);
      lost.recovery.lost(gone());
      lost.recovery.left();
      await lost.clock.advance(200);
      assert.deepEqual([lost.recovery.state, lost.target.given[0]?.code], ['over', 'session_lost']);
    }
  });

  test('a peer that has closed its socket to the relay has 5 s to come back, unless it answers', async () => {
    const dead = setUp(true);
    dead.recovery.socketClosed(true);
    assert.equal(dead.target.probes, 1);
    await dead.clock.advance(2_000);
    dead.recovery.lost(gone());
    await dead.clock.advance(2_999);
    assert.equal(dead.target.given.length, 0);
    await dead.clock.advance(1);
    assert.deepEqual([dead.recovery.state, dead.target.given[0]?.code], ['over', 'session_lost']);

    const back = setUp(true);
    back.recovery.socketClosed(true);
    back.recovery.lost(gone());
    await back.clock.advance(4_000);
    back.recovery.socketClosed(false);
    await back.clock.advance(10_000);
    assert.deepEqual(back.target.given, []);
    back.recovery.end();

    const answers = setUp(true);
    answers.recovery.socketClosed(true);
    await answers.clock.advance(60_000);
    assert.deepEqual([answers.recovery.state, answers.target.given.length], ['stable', 0]);
    answers.recovery.lost(gone());
    assert.equal(answers.target.given[0]?.code, 'session_lost');
  });
});
