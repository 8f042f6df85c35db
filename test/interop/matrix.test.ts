import { writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { after, before, suite, test, type TestContext } from 'node:test';
import { Coturn, turnSecret } from '../support/coturn.ts';
import { engineNames, engines } from '../support/engines.ts';
import { full } from '../support/full.ts';
import { RelayProcess } from '../support/relay.ts';
import { converse, type Way } from './converse.ts';
import { createEnd, type End } from './end.ts';
import { openBrowser, type PageEnds, pythonEnd, serveEnd } from './ends.ts';
import { serverName } from './exchange.ts';

/**
 * Everybody with everybody, through the relay; scripts/interop.ts writes what this measures into
 * the README. Where the server offers, the sample has everybody with one other, in each role.
 */
const names = [...engineNames, 'chromium', 'firefox', 'aiortc'] as const;
type Name = (typeof names)[number];
/** aiortc has no such policy, and libdatachannel's binding cannot keep to it. */
const turnOnly: readonly Name[] = ['werift', 'wrtc', 'chromium', 'firefox'];

export interface Cell {
  server: Name;
  client: Name;
  way: Way;
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

function endOf(t: TestContext, name: Name, role: 'client' | 'server'): End {
  if (name === 'aiortc') return pythonEnd(t);
  return browsers[name]?.[role] ?? createEnd(engines[name as keyof typeof engines]);
}

async function measure(t: TestContext, { server, client, way }: Omit<Cell, 'ms'>): Promise<void> {
  const ends = { server: endOf(t, server, 'server'), client: endOf(t, client, 'client') };
  const ms = await converse(t, relay, ends, way, server === 'aiortc' ? 'aiortc-server' : serverName);
  cells.push({ server, client, way, ms });
  console.log(`# ${server} ← ${client}: ${ms} ms`);
}

/** Whether a name is the next one in the list, the first one after the last. */
const follows = (name: Name, other: Name): boolean => names.indexOf(name) === (names.indexOf(other) + 1) % names.length;

for (const way of ['client', 'server'] as const) {
  suite(`the ${way} offers, ${way === 'client' ? 'with' : 'without'} trickle, with STUN and TURN at hand`, () => {
    for (const server of names) {
      for (const client of names.filter((name) => full || way === 'client' || follows(name, server))) {
        test(`${server} serves ${client}`, (t) => measure(t, { server, client, way }));
      }
    }
  });
}

suite('both only through TURN', () => {
  for (const server of turnOnly) {
    for (const client of turnOnly.filter((name) => [name, server].includes('werift') || name === server)) {
      test(`${server} serves ${client}`, (t) => measure(t, { server, client, way: 'turn' }));
    }
  }
});
