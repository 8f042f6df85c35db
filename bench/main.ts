import { writeFile } from 'node:fs/promises';
import { argv, exit } from 'node:process';
import { parseArgs } from 'node:util';
import { measureGrowth } from './growth/main.ts';
import { growthLines, growthPlot, growthTables } from './growth/show.ts';
import { lines } from './lib/report.ts';
import { guardRelay } from './relay/guard.ts';
import { measureRelays } from './relay/main.ts';
import { relayLines, relayPlot, relayTable, summary } from './relay/show.ts';
import { groupNames, measureTransports } from './transport/main.ts';
import { transportLines, transportPlot, transportTable } from './transport/show.ts';

const usage = `Usage: npm run bench -- relay|transport|growth|guard [--quick] [--json] [--plot file.svg] [--engine name]

relay      CPU, memory and latency of the relay beside a floor of bare WebSockets, PeerJS, y-webrtc and Socket.IO
transport  connecting, calls and throughput beside the raw data channel, simple-peer, Streamable HTTP and stdio,
           on every engine of Node and in Chromium
growth     cost against the number of peers, of peers in a room and of instances, and what it says about millions
guard      half a minute on an idle machine: exits with 1 where the relay costs a multiple of what it should beside the floor

--quick    less of each; relay: against the floor only, within a minute
--json     one object instead of tables
--plot     writes bars as SVG
--engine   of transport, one of ${groupNames.join(', ')} and no other`;

const { positionals, values } = parseArgs({
  args: argv.slice(2),
  allowPositionals: true,
  options: {
    quick: { type: 'boolean' },
    json: { type: 'boolean' },
    plot: { type: 'string' },
    engine: { type: 'string' },
  },
});
const quick = values.quick ?? false;

/** Prints one object, or the tables. */
function print(object: unknown, ...tables: string[]): void {
  console.log(values.json ? JSON.stringify(object) : tables.join('\n\n'));
}

switch (positionals.join(' ')) {
  case 'relay': {
    const rows = await measureRelays(quick ? 'quick' : 'full');
    print(summary(rows), relayTable(rows), lines(relayLines(rows)));
    if (values.plot !== undefined) await writeFile(values.plot, relayPlot(rows));
    break;
  }
  case 'transport': {
    const chosen = groupNames.filter((name) => values.engine === undefined || values.engine === name);
    const rows = quick
      ? await measureTransports(['node-datachannel'], 1, 2000)
      : await measureTransports(chosen, 4, 12_000);
    print(rows, transportTable(rows), lines(transportLines(rows)));
    if (values.plot !== undefined) await writeFile(values.plot, transportPlot(rows));
    break;
  }
  case 'growth': {
    const growth = await measureGrowth(quick);
    print(growth, ...growthTables(growth), lines(growthLines(growth)));
    if (values.plot !== undefined) await writeFile(values.plot, growthPlot(growth));
    break;
  }
  case 'guard': {
    const costs = await guardRelay();
    print(costs, lines(costs));
    // What could not be measured (NaN) is not within its limit either.
    process.exitCode = costs.every(({ measured, atMost }) => measured <= atMost) ? 0 : 1;
    break;
  }
  default:
    console.error(usage);
    exit(2);
}
// Engines keep threads.
exit();
