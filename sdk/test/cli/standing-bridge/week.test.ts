import assert from 'node:assert/strict';
import test from 'node:test';
import { array, assert as check, asyncProperty, boolean, integer, shuffledSubarray } from 'fast-check';
import { RendezvousError } from 'mcp-rendezvous-protocol';
import { settle, World } from './world.ts';

/** What happens to a laptop in a week, and how long it sleeps meanwhile, in milliseconds. */
const events = {
  'the server restarts': 0,
  'the relay restarts': 0,
  'a sleep of 10 s': 10_000,
  'a sleep of 5 min': 5 * 60_000,
  'a sleep of 9 h': 9 * 3_600_000,
  'a token ends and is renewed': 0,
  'another Wi-Fi': 0,
} as const;
type Event = keyof typeof events;
const week: Event[] = [
  ...Array<Event>(20).fill('the server restarts'),
  ...Array<Event>(5).fill('the relay restarts'),
  ...Array<Event>(7).fill('a sleep of 9 h'),
  'a sleep of 10 s',
  'a sleep of 5 min',
  'a token ends and is renewed',
  'a token ends and is renewed',
  'another Wi-Fi',
  'another Wi-Fi',
];
const soonMs = 3_000;
const seed = 19;

const unreachable = () => new RendezvousError('relay_unreachable', 'No route.', { retryable: true });

/** A client that calls all the time, and a world in which a week happens. */
class Week {
  readonly world = new World({ renewable: true });
  readonly asked: string[] = [];

  async call(): Promise<string> {
    const id = `call-${this.asked.length}`;
    this.asked.push(id);
    await this.world.send({ id, method: 'tools/call', params: {} });
    return id;
  }

  /** The server answers whatever it was asked and has not answered. */
  async answerAll(): Promise<void> {
    const { world } = this;
    for (const { id } of world.server.requests()) {
      if (!world.server.closed && world.answers(id).length === 0) world.server.say({ id, result: {} });
    }
    await settle();
  }

  /** Time in which every attempt to reach the server fails. */
  async away(ms: number, calls: boolean): Promise<void> {
    const { world } = this;
    for (let passed = 0; passed < ms; passed += 250) {
      if (calls && passed % 2_000 === 0) await this.call();
      world.server.fail(unreachable());
      await settle();
      await world.clock.advance(250);
    }
  }

  async happens(event: Event, awayMs: number, calls: boolean): Promise<void> {
    const { world } = this;
    await this.call();
    world.clock.sleep(events[event]);
    if (event === 'a sleep of 10 s') return; // the session outlives it
    world.server.lose();
    await settle();
    if (event === 'a token ends and is renewed') {
      world.server.fail(new RendezvousError('token_expired', 'The token has expired.'));
      await settle();
    }
    await this.away(awayMs, calls);
  }

  /** Calls when the server is back: what it takes until the answer. */
  async servedAfterMs(): Promise<number> {
    const { world } = this;
    const id = await this.call();
    for (let ms = 0; ms <= 20_000; ms += 50) {
      await world.open();
      await this.answerAll();
      const [answer] = world.answers(id);
      if (answer && 'result' in answer) return ms;
      await world.clock.advance(50);
    }
    return Infinity;
  }
}

test(`a week: after each event a call is served within 3 s, and each has one answer (seed ${seed})`, async () => {
  await check(
    asyncProperty(
      shuffledSubarray(week, { minLength: week.length }),
      array(integer({ min: 0, max: 25_000 }), { minLength: week.length, maxLength: week.length }),
      boolean(),
      async (order, away, calls) => {
        const days = new Week();
        await days.world.begin();
        for (const [index, event] of order.entries()) {
          await days.happens(event, away[index]!, calls);
          const ms = await days.servedAfterMs();
          assert.ok(ms <= soonMs, `${event}, ${away[index]} ms away: ${ms} ms`);
          assert.equal(days.world.ending, undefined);
        }
        const { world, asked } = days;
        await world.clock.advance(60_000);
        await settle();
        for (const id of asked) assert.equal(world.answers(id).length, 1, id);
        const ran = world.servers
          .flatMap((server) => server.requests())
          .filter(({ method }) => method === 'tools/call');
        assert.equal(new Set(ran.map(({ id }) => id)).size, ran.length, 'no call ran twice');
        await world.bridge.close(new Error('the test is over'));
      },
    ),
    { numRuns: 3, seed },
  );
});

test('nobody asks: a server that is away is looked for with growing pauses', async () => {
  const days = new Week();
  await days.world.begin();
  await days.world.lose();
  const before = days.world.servers.length;
  await days.away(60_000, false);
  assert.ok(days.world.servers.length - before <= 12, `${days.world.servers.length - before} attempts in a minute`);
});
