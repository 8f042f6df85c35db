import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import * as fc from 'fast-check';
import { createSecret } from 'mcp-rendezvous-protocol';
import { type RunningApp, startApp } from '../../server/test/support/app.ts';
import { testToken } from '../../server/test/support/peer.ts';
import { listen, WebRTCClientTransport } from '../../sdk/src/index.ts';
import type { ConnectOptions, Path } from '../../sdk/src/transport/types.ts';
import { eventually } from '../support/wait.ts';
import { BlockableEngine, End } from './pair.ts';

// A listener that closes while a session is opening: its client must not wait for a session that
// nobody has.

/** Within this time the client knows, in milliseconds. */
const promptMs = 5_000;
const secret = createSecret();

interface Moment {
  /** How many steps of both ends pass before the listener closes … */
  steps: number;
  /** … and how many turns of the event loop after that. */
  turns: number;
  paths: Path[];
  secret: boolean;
  /** No connection finds a way: the relayed path is all there is. */
  blocked: boolean;
}

const moments: fc.Arbitrary<Moment> = fc.record({
  steps: fc.integer({ min: 0, max: 30 }),
  turns: fc.integer({ min: 0, max: 4 }),
  paths: fc.constantFrom<Path[]>(['direct', 'turn', 'relayed'], ['relayed', 'direct'], ['direct', 'turn']),
  secret: fc.boolean(),
  blocked: fc.boolean(),
});

void suite('a listener closes while a session is opening', () => {
  let app: RunningApp;
  before(async () => {
    app = await startApp(undefined);
  });
  after(() => app.close());

  let rooms = 0;
  async function closeAt(moment: Moment): Promise<void> {
    const room = `moment ${rooms++}`;
    let steps = 0;
    const reached = Promise.withResolvers<void>();
    const step = (): void => void (steps++ === moment.steps && reached.resolve());
    const options = (): ConnectOptions & { relay: string } => ({
      relay: app.url.replace('http', 'ws'),
      rtc: new BlockableEngine(moment.blocked),
      paths: moment.paths,
      ondiagnostic: step,
      ...(moment.secret ? { secret } : {}),
    });
    const listener = await listen({ ...options(), token: await testToken({ room, role: 'server' }) }, (transport) =>
      transport.start().then(step, step),
    );
    const client = new End(
      new WebRTCClientTransport({
        ...options(),
        connectTimeoutMs: 1_000,
        token: await testToken({ room, role: 'client' }),
      }),
    );
    try {
      steps = 0;
      const started = client.transport.start().then(step, step);
      step();
      // Fewer steps than that: it closes when the session has opened.
      await Promise.race([
        reached.promise,
        started.then(() => eventually(() => steps > moment.steps, 500).catch(() => {})),
      ]);
      for (let turn = 0; turn < moment.turns; turn++) await new Promise(setImmediate);
      await listener.close();
      // One that has not met the server waits for one to come, as long as it is told to.
      await eventually(() => client.transport.state === 'closed', promptMs, `${client.transport.state} to closed`);
    } finally {
      await Promise.all([client.transport.close(), listener.close()]);
    }
  }

  const seed = Number(process.env['MOMENTS_SEED'] ?? 16);
  const numRuns = Number(process.env['MOMENTS_RUNS'] ?? 20);
  test(`at any moment: the client knows within ${promptMs / 1000} s (MOMENTS_SEED=${seed})`, async () => {
    // Several side by side, as they wait most of the time.
    const waiting = fc.sample(moments, { seed, numRuns });
    const one = async (): Promise<void> => {
      for (let moment = waiting.pop(); moment; moment = waiting.pop()) {
        const name = JSON.stringify(moment);
        await closeAt(moment).catch((cause: unknown) => assert.fail(new Error(`at ${name}`, { cause })));
      }
    };
    await Promise.all(Array.from({ length: 4 }, one));
    // Nothing of them goes on: an application that has closed everything can end.
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    await eventually(() => timers() === 0, undefined, `${timers()} timers to none`);
  });
});
