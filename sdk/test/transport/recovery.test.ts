import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { ManualClock } from '../manual-clock.ts';
import { RendezvousError } from 'mcp-rendezvous-protocol';
import { MemorySignaling } from '../../src/signaling/memory.ts';
import type { Signaling } from '../../src/signaling/signaling.ts';
import { isRecovering, nextState, type RecoveryEvent, type RecoveryState } from '../../src/transport/recovery-state.ts';
import { Recovery, type RecoveryTarget } from '../../src/transport/recovery.ts';

const windowMs = { offerer: 30_000, answerer: 40_000 };
const gone = (message = 'gone') => new RendezvousError('peer_silent', message);

type Work = 'restart' | 'dial' | 'reconnect';

/** What a recovery works on, as a script: each piece of work waits until the test settles it. */
class Target implements RecoveryTarget {
  readonly offers: boolean;
  canRestart = false;
  channelOpen = true;
  /** A new connection, if there is one, is in its handshake already. */
  inHandshake = false;
  probes = 0;
  hurries = 0;
  readonly started: Work[] = [];
  readonly given: RendezvousError[] = [];
  /** Work under way, with the signal that ends it. */
  readonly open: { work: Work; signal: AbortSignal; resolve: () => void; reject: (error: Error) => void }[] = [];

  constructor(offers: boolean) {
    this.offers = offers;
  }

  probe(): void {
    this.probes++;
  }

  hurry(): void {
    this.hurries++;
  }

  giveUp(error: RendezvousError): void {
    this.given.push(error);
  }

  restart(signal: AbortSignal): Promise<never> {
    return this.#begin('restart', signal) as Promise<never>;
  }

  async dial(signal: AbortSignal): Promise<Signaling> {
    await this.#begin('dial', signal);
    return MemorySignaling.pair()[0];
  }

  reconnect(_signaling: Signaling, signal: AbortSignal): Promise<void> {
    return this.#begin('reconnect', signal);
  }

  /** Settles the last piece of work that nobody has ended. */
  settle(outcome: 'works' | RendezvousError): Work | undefined {
    const index = this.open.findLastIndex(({ signal }) => !signal.aborted);
    const [current] = index < 0 ? [] : this.open.splice(index, 1);
    if (outcome === 'works') current?.resolve();
    else current?.reject(outcome);
    return current?.work;
  }

  get attaching(): boolean {
    return this.inHandshake && this.live.at(-1) === 'reconnect';
  }

  get live(): Work[] {
    return this.open.filter(({ signal }) => !signal.aborted).map(({ work }) => work);
  }

  #begin(work: Work, signal: AbortSignal): Promise<void> {
    this.started.push(work);
    return new Promise((resolve, reject) => {
      this.open.push({ work, signal, resolve, reject });
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
  }
}

function setUp(offers: boolean) {
  const clock = new ManualClock();
  const target = new Target(offers);
  const states: string[] = [];
  const errors: RendezvousError[] = [];
  const handlers = {
    onstate: (state: string) => void states.push(state),
    onerror: (error: RendezvousError) => void errors.push(error),
  };
  const recovery = new Recovery(target, handlers, clock, () => 500);
  return { clock, target, states, errors, recovery };
}

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

  const error = gone();
  const states: RecoveryState[] = [
    { name: 'stable' },
    { name: 'probing' },
    { name: 'restarting', last: error },
    { name: 'redialling', attempt: 2, last: error },
    { name: 'waiting', for: 'pause', attempt: 2, last: error },
    { name: 'waiting', for: 'peer', attempt: 0, last: error },
    { name: 'over' },
  ];
  const events: RecoveryEvent[] = [
    { type: 'lost', reason: error, means: 'restart' },
    { type: 'lost', reason: error, means: 'redial' },
    { type: 'lost', reason: error, means: 'none' },
    { type: 'found' },
    { type: 'networkChanged' },
    { type: 'probeOver' },
    { type: 'restartFailed', error },
    { type: 'attemptFailed', error, final: true },
    { type: 'attemptFailed', error, final: false },
    { type: 'unreachable', error, channelOpen: true },
    { type: 'unreachable', error, channelOpen: false },
    { type: 'pauseOver' },
    { type: 'windowOver' },
    { type: 'ended' },
  ];

  test('the table: over is over, found is stable, and only what is lost can be given up', () => {
    for (const state of states) {
      for (const event of events) {
        const next = nextState(state, event);
        if (state.name === 'over') assert.equal(next, state);
        if (event.type === 'lost' && isRecovering(state)) assert.equal(next, state);
        if (event.type === 'ended') assert.equal(next.name, 'over');
        if (event.type === 'found' && isRecovering(state)) assert.equal(next.name, 'stable');
        if (next.name === 'over' && next.error) assert.ok(isRecovering(state), `${state.name} → ${event.type}`);
        if (isRecovering(next) && !isRecovering(state)) assert.equal(event.type, 'lost');
      }
    }
  });

  /** What may happen to a session, as a test can make it happen. */
  type Step =
    | { do: 'lost' | 'found' | 'network' | 'works' | 'end' }
    | { do: 'fails'; final: boolean }
    | { do: 'flags'; canRestart: boolean; channelOpen: boolean; inHandshake: boolean }
    | { do: 'time'; ms: number };

  const step: fc.Arbitrary<Step> = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.constantFrom<Step>({ do: 'lost' }, { do: 'found' }, { do: 'network' }, { do: 'works' }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('fails' as const), final: fc.boolean() }) },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('flags' as const),
        canRestart: fc.boolean(),
        channelOpen: fc.boolean(),
        inHandshake: fc.boolean(),
      }),
    },
    { weight: 3, arbitrary: fc.record({ do: fc.constant('time' as const), ms: fc.nat(20_000) }) },
    { weight: 1, arbitrary: fc.constant<Step>({ do: 'end' }) },
  );

  test('whatever happens, in whatever order: one piece of work, an end within the window, and nothing after it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.array(step, { maxLength: 40 }), async (offers, steps) => {
        const { clock, target, states: told, recovery } = setUp(offers);
        let lostAt: number | undefined;
        let ended = false;
        for (const now of steps) {
          const before = recovery.state;
          const startedBefore = target.started.length;
          switch (now.do) {
            case 'lost':
              recovery.lost(gone());
              break;
            case 'found':
              recovery.found();
              break;
            case 'network':
              recovery.networkChanged();
              break;
            case 'end':
              ended ||= before !== 'over';
              recovery.end();
              break;
            case 'works':
              // What works is a signaling channel, or a new connection, which says so before its work ends.
              if (target.live.at(-1) === 'reconnect') recovery.found();
              if (target.live.at(-1) !== 'restart') target.settle('works');
              break;
            case 'fails':
              target.settle(new RendezvousError(now.final ? 'secret_mismatch' : 'ice_failed', 'no'));
              break;
            case 'flags':
              Object.assign(target, now);
              break;
            case 'time':
              await clock.advance(now.ms);
              break;
          }
          await turn();
          const { state } = recovery;
          if (before === 'over') {
            assert.equal(state, 'over');
            assert.equal(target.started.length, startedBefore, 'nothing is started after the end');
          }
          const recovering = ['restarting', 'redialling', 'waiting'].includes(state);
          if (!recovering) lostAt = undefined;
          else lostAt ??= clock.now();
          if (lostAt !== undefined) {
            // `advance` may have passed the moment of the loss's end, so that this is the latest time.
            const limit = offers ? windowMs.offerer : windowMs.answerer;
            assert.ok(clock.now() - lostAt <= limit, `still ${state} after ${clock.now() - lostAt} ms`);
          }
          if (!offers) assert.deepEqual(target.started, [], 'the answerer makes no offers');
          const live = target.live;
          const expected = { restarting: [['restart']], redialling: [['dial'], ['reconnect']] }[state as string];
          if (expected)
            assert.ok(
              expected.some(([work]) => live.at(-1) === work),
              `${live.join()} while ${state}`,
            );
          // A connection in its handshake may be left over from before the old one came back.
          assert.ok(live.slice(0, expected ? -1 : undefined).every((work) => work === 'reconnect'));
          assert.equal(told.at(-1) === 'recovering', recovering || (state === 'over' && told.at(-1) === 'recovering'));
          assert.ok(told.every((name, index) => name === (index % 2 === 0 ? 'recovering' : 'connected')));
          if (state === 'stable' || state === 'over') assert.equal(clock.timers, 0, `timers while ${state}`);
        }
        assert.ok(target.given.length <= 1);
        if (ended) assert.deepEqual(target.given, []);
      }),
      { numRuns: 500 },
    );
  });
});
