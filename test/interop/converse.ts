import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { RelayProcess } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { within } from '../support/wait.ts';
import type { End, Place } from './end.ts';
import { complete } from './exchange.ts';

/** Who makes the offer, or that the client does and each side goes through TURN only. */
export type Way = Place['offers'] | 'turn';

const patienceMs = 40_000;

/**
 * A whole session between two ends in a room of their own: initialize, list, call, 200 KB both
 * ways, close.
 *
 * @param name what the server calls itself
 * @returns how many milliseconds the client took to connect
 */
export async function converse(
  t: TestContext,
  relay: RelayProcess,
  ends: { server: End; client: End },
  way: Way,
  name: string,
): Promise<number> {
  const room = new Room(relay);
  const place = async (role: 'client' | 'server'): Promise<Place> => ({
    relay: relay.ws,
    token: await room.token(role),
    offers: way === 'server' ? 'server' : 'client',
    iceTransportPolicy: way === 'turn' ? 'relay' : 'all',
  });
  // Of a cell that failed nothing stays open; the process would not end.
  t.after(async () => {
    await Promise.allSettled(Object.values(ends).map((end) => within(end.close(), 'an end to leave', 30_000)));
  });
  await within(ends.server.serve(await place('server')), 'the server to join', patienceMs);
  const ms = await within(ends.client.connect(await place('client')), 'the client to connect', patienceMs);
  const seen = await within(ends.client.exchange(), 'the exchange', patienceMs);
  assert.deepEqual(seen, complete(name));
  await within(Promise.all([ends.server.closed(), ends.client.close()]), 'both sides to end', patienceMs);
  return ms;
}
