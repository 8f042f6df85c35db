import type { TestContext } from 'node:test';
import * as fc from 'fast-check';
import { createSecret } from 'mcp-rendezvous';
import { type Cut, CuttingWire } from '../opening/cutting-wire.ts';
import { BlockableEngine, came, newPair } from '../relayed/pair.ts';
import { eventually } from '../support/wait.ts';

/** What a session loses, and where its way to the relay is cut while it comes back from that. */
export interface Loss {
  /** `direct`: its connection is closed, too. */
  path: 'direct' | 'relayed';
  first: Cut['what'];
  cut: Cut;
}

const whats = fc.constantFrom<Cut['what'][]>('client', 'server', 'both', 'restart');

/** A recovery passes about ten frames; a cut at a later one comes when it is over. */
export const losses: fc.Arbitrary<Loss> = fc.record({
  path: fc.constantFrom<Loss['path'][]>('direct', 'relayed'),
  first: whats,
  cut: fc.record({
    frame: fc.integer({ min: 1, max: 12 }),
    delivered: fc.boolean(),
    what: whats,
    refused: fc.integer({ min: 0, max: 2 }),
  }),
});

/**
 * Rejects unless the session goes on, and what both sides send meanwhile arrives once and in order.
 *
 * @param relays see {@link CuttingWire.start}
 */
export async function loseTwice(
  t: TestContext,
  { path, first, cut }: Loss,
  relays: [before: string, after: string],
): Promise<void> {
  const wire = await CuttingWire.start(relays, cut);
  const rtc = new BlockableEngine(path === 'relayed');
  const options = { paths: [path], rtc, secret: createSecret() };
  const { client, server } = await newPair(t, wire.url, { client: options, server: options });
  try {
    await Promise.all([server.transport.start(), client.transport.start()]);
    await exchange(0, 10);
    wire.begin(first);
    rtc.cut();
    await exchange(10, 20);
    // Also when the second loss comes once the first is over.
    await eventually(() => [client, server].every(({ transport }) => transport.state === 'connected'));
    await exchange(20, 30);
    if (client.closed + server.closed > 0) throw new Error('the session has ended');
  } finally {
    await Promise.all([client, server].map(({ transport }) => transport.close()));
    wire.stop();
  }

  async function exchange(from: number, to: number): Promise<void> {
    await Promise.all([client.number(from, to), server.number(from, to)]);
    await Promise.all([came(client, to), came(server, to)]);
  }
}
