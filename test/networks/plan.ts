import { type Cell, type Change, type EngineName, type Side } from './cell.ts';
import type { Mode } from './internet.ts';
import { hasUdp, type Kind, kinds } from './kinds.ts';

export const engines: EngineName[] = ['werift', 'default'];

/** Every kind with every kind, on both engines; and a page in three of them. */
export function cellsOf(mode: Mode): Cell[] {
  const cells = engines.flatMap((engine, turn) =>
    kinds.flatMap((server, row) =>
      kinds.map((client, column) => {
        const change = changeFor(server, client, row * 3 + column * 2 + turn);
        return { mode, server, client, engine, change, directWithinMs: 5_000 };
      }),
    ),
  );
  return mode === 'relayed on' ? [...cells, ...pages] : cells;
}

/** A change that the networks of this cell notice. */
function changeFor(server: Kind, client: Kind, turn: number): Change {
  const whats = ['cable', 'address', 'UDP'] as const;
  const what = whats[turn % 3]!;
  const sides: Side[] = turn % 2 === 0 ? ['server', 'client'] : ['client', 'server'];
  if (what !== 'UDP') return { what, side: sides[0]! };
  const side = sides.find((name) => hasUdp(name === 'server' ? server : client));
  return side ? { what, side } : { what: whats[turn % 2]!, side: sides[0]! };
}

const page = { mode: 'relayed on', engine: 'default', directWithinMs: 5_000 } as const;
const pages: Cell[] = [
  { ...page, server: 'cone', client: 'cone', chromium: 'client', change: { what: 'cable', side: 'client' } },
  { ...page, server: 'no UDP', client: 'symmetric', chromium: 'client', change: { what: 'address', side: 'client' } },
  { ...page, server: 'proxy only', client: 'open', chromium: 'server', change: { what: 'cable', side: 'server' } },
];

// Beside other tests everything takes longer.
const on = { mode: 'relayed on', directWithinMs: 60_000 } as const;
const off = { mode: 'relayed off', directWithinMs: 60_000 } as const;

/** Every kind, path, change and engine once. */
export const short: Cell[] = [
  { ...on, server: 'cone', client: 'cone', engine: 'default', change: { what: 'cable', side: 'server' } },
  { ...on, server: 'open', client: 'symmetric', engine: 'werift', change: { what: 'UDP', side: 'client' } },
  { ...on, server: 'symmetric', client: 'no UDP', engine: 'default', change: { what: 'address', side: 'client' } },
  { ...on, server: 'proxy only', client: 'web only', engine: 'werift', change: { what: 'cable', side: 'client' } },
  { ...off, server: 'web only', client: 'cone', engine: 'default', change: { what: 'UDP', side: 'client' } },
  { ...off, server: 'no UDP', client: 'proxy only', engine: 'werift', change: { what: 'cable', side: 'server' } },
];
