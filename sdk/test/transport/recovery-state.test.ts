import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { RendezvousError } from 'mcp-rendezvous-protocol';
import { isRecovering, nextState, type RecoveryEvent, type RecoveryState } from '../../src/transport/recovery-state.ts';
import { gone, setUp, windowMs } from './recovery-target.ts';

void suite('the states of a recovery', () => {
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
    { type: 'covered', reason: error },
    { type: 'detoured', reason: error },
    { type: 'uncovered', reason: error, means: 'redial' },
    { type: 'uncovered', reason: error, means: 'none' },
    { type: 'left', error },
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
        if (event.type === 'left') assert.equal(next.name, 'over');
        else if (next.name === 'over' && next.error) assert.ok(isRecovering(state), `${state.name} → ${event.type}`);
        if (isRecovering(next) && !isRecovering(state)) assert.match(event.type, /^(lost|covered|detoured)$/);
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
              // What works is a signaling channel, or a new connection, which says so before its
              // work ends.
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
            // `advance` may have passed the moment of the loss's end, so that this is the latest
            // time.
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
