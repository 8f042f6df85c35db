import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { note, numbers, upTo } from '../link/carriers.ts';
import { type Side, stepMs, World } from './moving-world.ts';

// A session moves between paths that come, go and fall silent, on a clock of the test's. The links
// and recoveries are the real ones; the world between them is made up.

/** What a message may take where the relay has been there all the time: 3 s are for the silence. */
const arrivesWithinMs = 4_500;
const windowMs = 30_000;

type Step =
  | { do: 'send'; from: 0 | 1; count: number; bytes: number }
  | {
      do: 'cut' | 'block' | 'unblock' | 'mute' | 'unmute' | 'relay down' | 'relay up' | 'restart' | 'network' | 'speak';
    }
  | { do: 'silence'; relayed: boolean }
  | { do: 'time'; ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      from: fc.constantFrom(0 as const, 1 as const),
      count: fc.integer({ min: 1, max: 5 }),
      bytes: fc.constantFrom(0, 0, 0, 300_000),
    }),
  },
  {
    weight: 5,
    arbitrary: fc
      .constantFrom(
        'cut' as const,
        'block' as const,
        'unblock' as const,
        'mute' as const,
        'unmute' as const,
        'relay down' as const,
        'relay up' as const,
        'restart' as const,
        'network' as const,
        'speak' as const,
      )
      .map((what) => ({ do: what })),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('silence' as const), relayed: fc.boolean() }) },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constant('time' as const), ms: fc.constantFrom(250, 1_000, 4_000, 12_000, 35_000) }),
  },
);

async function live(steps: Step[]): Promise<void> {
  const world = await World.begin();
  const { clock } = world;
  /** Since when everything that is needed for the relayed path has been there. */
  let goodSince: number | undefined;
  /** Since when there has been no path. */
  let noneSince: number | undefined;
  const send = (side: Side, count: number, bytes: number): void => {
    for (let n = 0; n < count; n++) {
      // It waits as long as it has to; a session that ends rejects it.
      side.recorder.link.send(note(side.sent.length, 'x'.repeat(bytes))).catch(() => {});
      side.sent.push(clock.now());
    }
  };
  const check = (): void => {
    const relaySilent = world.live(true).some(({ silent }) => silent);
    if (!world.relayUp || relaySilent) goodSince = undefined;
    else goodSince ??= clock.now();
    if (world.wires.some(({ ends }) => ends.some(({ open }) => open))) noneSince = undefined;
    else noneSince ??= clock.now();
    assert.ok(noneSince === undefined || world.ended || clock.now() - noneSince <= windowMs + stepMs);
    for (const [side, other] of [world.sides, world.sides.toReversed()] as [Side, Side][]) {
      const { recorder, epochs, outSince } = side;
      const came = numbers(recorder.messages);
      assert.deepEqual(came, upTo(came.length), 'once each, and in order');
      assert.ok(came.length <= other.sent.length);
      assert.deepEqual(recorder.errors, []);
      assert.ok(
        epochs.every((epoch, n) => n === 0 || epoch > epochs[n - 1]!),
        `epochs ${epochs.join()}`,
      );
      if (goodSince === undefined || world.ended) continue;
      for (const since of [outSince, other.sent[came.length]]) {
        const waited: number = since === undefined ? 0 : clock.now() - Math.max(since, goodSince);
        assert.ok(waited <= arrivesWithinMs, `nothing came for ${waited} ms, and the relay is there`);
      }
    }
    const first = world.sides.find(({ recorder }) => recorder.closes.length > 0);
    if (!first) return;
    assert.equal(first.recorder.closes[0]?.code, 'session_lost');
    const outMs = Math.max(...world.sides.map(({ outSince }) => (outSince === undefined ? 0 : clock.now() - outSince)));
    assert.ok(outMs >= windowMs - 2 * stepMs, `it ended after ${outMs} ms without a path`);
  };
  for (const now of steps) {
    if (world.ended) break;
    switch (now.do) {
      case 'send':
        send(world.sides[now.from], now.count, now.bytes);
        break;
      case 'cut':
        for (const wire of world.live(false)) wire.cut();
        break;
      case 'block':
      case 'unblock':
        world.direct = now.do === 'unblock';
        break;
      case 'mute':
      case 'unmute':
        world.mute = now.do === 'mute';
        break;
      case 'relay down':
      case 'relay up':
        world.relay(now.do === 'relay up');
        break;
      case 'restart':
        world.relay(false);
        await world.settle();
        world.relay(true);
        break;
      case 'network':
        world.near.recovery.networkChanged();
        break;
      case 'silence':
        for (const wire of world.live(now.relayed)) wire.silent = true;
        break;
      case 'speak':
        for (const wire of world.wires) wire.silent = false;
        break;
      case 'time':
        await world.pass(now.ms, check);
        break;
    }
    await world.settle();
    check();
  }
  if (!world.ended) {
    // All is well from now on: the session is on a direct path, and everything comes.
    world.relay(true);
    world.direct = true;
    world.mute = false;
    for (const wire of world.wires) wire.silent = false;
    for (let pass = 0; pass < 160 && !arrived(world); pass++) await world.pass(1_000, check);
    assert.ok(arrived(world), 'everything has come, over a direct path');
  }
  for (const { recorder } of world.sides) recorder.link.end();
}

const arrived = (world: World): boolean =>
  world.ended ||
  (world.near.recorder.messages.length === world.far.sent.length &&
    world.far.recorder.messages.length === world.near.sent.length &&
    world.sides.every(({ recorder, recovery }) => recovery.state === 'stable' && !recorder.link.relayed));

const blocked: Step[] = [{ do: 'block' }, { do: 'cut' }];
/** Chance needs many tries for these: the relay restarts, or ends, while it is all there is. */
const examples: [Step[]][] = [
  ...[1_000, 16_000].map((ms): [Step[]] => [
    [
      ...blocked,
      { do: 'time', ms },
      { do: 'restart' },
      { do: 'send', from: 0, count: 2, bytes: 0 },
      { do: 'send', from: 1, count: 2, bytes: 300_000 },
      { do: 'time', ms: 12_000 },
    ],
  ]),
  [[...blocked, { do: 'time', ms: 16_000 }, { do: 'relay down' }, { do: 'time', ms: 35_000 }]],
];

void suite('a session that moves', () => {
  const seed = Number(process.env['MOVING_SEED'] ?? Date.now() % 1_000_000);
  const numRuns = Number(process.env['MOVING_RUNS'] ?? 40);

  test(`nothing is lost, doubled or reordered, paths are left at once, and it ends by contract only (MOVING_SEED=${seed})`, async () => {
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 25 }), live), { seed, numRuns, examples });
  });
});
