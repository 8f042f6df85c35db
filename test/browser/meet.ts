import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import type { Frame, Page } from 'playwright-core';
import { type RelayProcess, testSecret } from '../support/relay.ts';
import { within } from '../support/wait.ts';
import { largeBytes, type Peer, type Place } from './peer.ts';

/** The peer that lives in a page, or in a frame of one. */
export const peerIn = (page: Page | Frame): Peer => ({
  serve: (place) => page.evaluate((argument) => globalThis.peer.serve(argument), place),
  connect: (place) => page.evaluate((argument) => globalThis.peer.connect(argument), place),
  exchange: () => page.evaluate(() => globalThis.peer.exchange()),
  close: () => page.evaluate(() => globalThis.peer.close()),
  closed: () => page.evaluate(() => globalThis.peer.closed()),
  leave: () => page.evaluate(() => globalThis.peer.leave()),
  invite: () => page.evaluate(() => globalThis.peer.invite()),
  verified: () => page.evaluate(() => globalThis.peer.verified()),
  hasWebCrypto: () => page.evaluate(() => globalThis.peer.hasWebCrypto()),
});

export const placeIn = async (relay: RelayProcess, room: string, role: 'client' | 'server'): Promise<Place> => ({
  relay: relay.ws,
  token: await createRoomToken({ key: testSecret, room, role, subject: role, ttl: 600 }),
});

/** A page may have to share its machine. */
const patienceMs = 30_000;

/** Two sessions one after the other: the first is ended by the client, the second by the server. */
export async function converse(relay: RelayProcess, client: Peer, server: Peer): Promise<void> {
  const room = randomUUID();

  await within(server.serve(await placeIn(relay, room, 'server')), 'the server to join', patienceMs);
  await within(client.connect(await placeIn(relay, room, 'client')), 'the client to connect', patienceMs);
  assert.deepEqual(await within(client.exchange(), 'the exchange', patienceMs), {
    server: 'browser-test-server',
    tools: ['add', 'large', 'fail'],
    sum: { sum: 42 },
    large: largeBytes,
    failure: { isError: true, text: 'this tool always fails' },
  });
  const serverSide = server.closed();
  await client.close();
  await within(serverSide, 'the server to see that the client closed', patienceMs);

  await within(client.connect(await placeIn(relay, room, 'client')), 'the client to connect again', patienceMs);
  const clientSide = client.closed();
  await server.close();
  await within(clientSide, 'the client to see that the server closed', patienceMs);
}
