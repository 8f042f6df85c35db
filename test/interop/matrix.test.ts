import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { after, before, suite, test } from 'node:test';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { Coturn, turnSecret } from '../support/coturn.ts';
import { engineNames, engines } from '../support/engines.ts';
import { RelayProcess, testSecret } from '../support/relay.ts';
import { within } from '../support/wait.ts';
import { createEnd, type End, type Place } from './end.ts';
import { openBrowser, type PageEnds, pythonEnd, serveEnd } from './ends.ts';
import { complete, serverName } from './exchange.ts';

/** Everybody with everybody, through the relay; scripts/interop.ts writes what this measures into the README. */
const names = [...engineNames, 'chromium', 'firefox', 'aiortc'] as const;
type Name = (typeof names)[number];
/** aiortc has no such policy, and libdatachannel's binding cannot keep to it. */
const turnOnly: readonly Name[] = ['werift', 'wrtc', 'chromium', 'firefox'];
const patienceMs = 40_000;

export interface Cell {
  server: Name;
  client: Name;
  way: Place['offers'] | 'turn';
  ms: number;
}
const cells: Cell[] = [];

let coturn: Coturn;
let relay: RelayProcess;
let pages: Server;
const browsers: Partial<Record<Name, PageEnds>> = {};

before(async () => {
  [coturn, pages] = await Promise.all([Coturn.start(), serveEnd()]);
  const [started, chromium, firefox] = await Promise.all([
    RelayProcess.start({ STUN_URLS: coturn.stun, TURN_URLS: coturn.udp, TURN_SECRET: turnSecret }),
    openBrowser('chromium', pages),
    openBrowser('firefox', pages),
  ]);
  relay = started;
  Object.assign(browsers, { chromium, firefox });
});

after(async () => {
  await Promise.all([relay?.stop(), coturn?.stop(), ...Object.values(browsers).map((browser) => browser.close())]);
  pages?.close();
  const file = process.env['INTEROP_CELLS'];
  if (file) writeFileSync(file, JSON.stringify(cells));
});

function endOf(t: Parameters<typeof pythonEnd>[0], name: Name, role: 'client' | 'server'): End {
  if (name === 'aiortc') return pythonEnd(t);
  return browsers[name]?.[role] ?? createEnd(engines[name as keyof typeof engines]);
}

async function converse(t: Parameters<typeof pythonEnd>[0], { server, client, way }: Omit<Cell, 'ms'>): Promise<void> {
  const room = randomUUID();
  const place = async (role: 'client' | 'server'): Promise<Place> => ({
    relay: relay.ws,
    token: await createRoomToken({ key: testSecret, room, role, subject: role, ttl: 600 }),
    offers: way === 'server' ? 'server' : 'client',
    iceTransportPolicy: way === 'turn' ? 'relay' : 'all',
  });
  const [serving, calling] = [endOf(t, server, 'server'), endOf(t, client, 'client')];
  // Of a cell that failed nothing stays open; the process would not end.
  t.after(async () => {
    await Promise.allSettled([serving, calling].map((end) => within(end.close(), 'an end to leave', 5_000)));
  });
  await within(serving.serve(await place('server')), 'the server to join', patienceMs);
  const ms = await within(calling.connect(await place('client')), 'the client to connect', patienceMs);
  const seen = await within(calling.exchange(), 'the exchange', patienceMs);
  assert.deepEqual(seen, complete(server === 'aiortc' ? 'aiortc-server' : serverName));
  await within(Promise.all([serving.closed(), calling.close()]), 'both sides to end', patienceMs);
  cells.push({ server, client, way, ms });
  console.log(`# ${server} ← ${client}: ${ms} ms`);
}

for (const way of ['client', 'server'] as const) {
  suite(`the ${way} offers, ${way === 'client' ? 'with' : 'without'} trickle, with STUN and TURN at hand`, () => {
    for (const server of names) {
      for (const client of names) {
        test(`${server} serves ${client}`, (t) => converse(t, { server, client, way }));
      }
    }
  });
}

suite('both only through TURN', () => {
  for (const server of turnOnly) {
    for (const client of turnOnly.filter((name) => [name, server].includes('werift') || name === server)) {
      test(`${server} serves ${client}`, (t) => converse(t, { server, client, way: 'turn' }));
    }
  }
});
