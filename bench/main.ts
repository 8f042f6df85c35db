import { argv, exit } from 'node:process';
import { parseArgs } from 'node:util';
import { measureBridges } from './bridge/main.ts';
import { bridgeLines, bridgeTable } from './bridge/show.ts';
import { firstAnswerLines, firstAnswerTable, measureFirstAnswers } from './first-answer/main.ts';
import { measureGrowth } from './growth/main.ts';
import { growPeers } from './growth/peers.ts';
import { growthLines, growthTables, idleLines, peersTable } from './growth/show.ts';
import { lines } from './lib/report.ts';
import { guardRelay } from './relay/guard.ts';
import { measureRelays } from './relay/main.ts';
import { relayLines, relayTable, summary } from './relay/show.ts';
import { measureRelayed } from './relayed/main.ts';
import { relayedLines, relayedTables } from './relayed/show.ts';
import { measureStarts, startLines } from './startup/main.ts';
import { measureResident, residentLines } from './startup/resident.ts';
import { groupNames, measureTransports } from './transport/main.ts';
import { transportLines, transportTable } from './transport/show.ts';

const usage = `Usage: npm run bench -- relay|relayed|transport|first-answer|growth|idle|startup|bridge|guard [--quick] [--json] [--engine name]

relay      CPU, memory and latency of the relay beside a floor of bare WebSockets, PeerJS, y-webrtc and Socket.IO
relayed    a large result on the relayed path, signals of others meanwhile, and pairs that stall; needs root
transport  connecting, calls and throughput beside the raw data channel, simple-peer, Streamable HTTP and stdio,
           on every engine of Node and in Chromium
first-answer  from start() to the response to initialize, beside bare WebSockets, at 0 and 100 ms to the relay
growth     cost against the number of peers, of peers in a room and of instances, and what it says about millions
idle       15,000 peers that do nothing: % of a core over three ping intervals, and bytes of each
startup    importing the SDK and the command line's --help beside a Node that does nothing, and what a
           bridge with a session has resident; needs a build, and Linux
bridge     expose and connect, as they are built, beside plain stdio and supergateway with mcp-remote; Linux
guard      half a minute on an idle machine: exits with 1 where the relay costs a multiple of what it should beside the floor

--quick    less of each; relay: against the floor only, within a minute
--json     one object instead of tables
--engine   of transport, one of ${groupNames.join(', ')} and no other`;

const { positionals, values } = parseArgs({
  args: argv.slice(2),
  allowPositionals: true,
  options: {
    quick: { type: 'boolean' },
    json: { type: 'boolean' },
    engine: { type: 'string' },
  },
});
const quick = values.quick ?? false;

/** Prints one object, or the tables. */
function print(object: unknown, ...tables: string[]): void {
  console.log(values.json ? JSON.stringify(object) : tables.join('\n\n'));
}

const command = positionals.join(' ');
switch (command) {
  case 'relay': {
    const rows = await measureRelays(quick ? 'quick' : 'full');
    print(summary(rows), relayTable(rows), lines(command, relayLines(rows)));
    break;
  }
  case 'relayed': {
    const relayed = await measureRelayed(quick);
    print(relayed, ...relayedTables(relayed), lines(command, relayedLines(relayed)));
    break;
  }
  case 'transport': {
    const chosen = groupNames.filter((name) => values.engine === undefined || values.engine === name);
    const rows = quick
      ? await measureTransports(['node-datachannel'], 1, 2000)
      : await measureTransports(chosen, 4, 12_000);
    print(rows, transportTable(rows), lines(command, transportLines(rows)));
    break;
  }
  case 'first-answer': {
    const answers = await measureFirstAnswers(quick ? 5 : 20);
    print(answers, firstAnswerTable(answers), lines(command, firstAnswerLines(answers)));
    break;
  }
  case 'growth': {
    const growth = await measureGrowth(quick);
    print(growth, ...growthTables(growth), lines(command, growthLines(growth)));
    break;
  }
  case 'idle': {
    // A peer is pinged once in 24 s.
    const { rows } = await growPeers([quick ? 1000 : 15_000], quick ? 24_000 : 72_000);
    print(rows, peersTable(rows), lines(command, rows.flatMap(idleLines)));
    break;
  }
  case 'startup': {
    const starts = await measureStarts(quick ? 3 : 10);
    const resident = await measureResident(quick ? 100 : 2000);
    print({ starts, resident }, lines(command, [...startLines(starts), ...residentLines(resident)]));
    break;
  }
  case 'bridge': {
    const rows = await measureBridges(quick);
    print(rows, bridgeTable(rows), lines(command, bridgeLines(rows)));
    break;
  }
  case 'guard': {
    const costs = await guardRelay();
    print(costs, lines(command, costs));
    // What could not be measured (NaN) is not within its limit either.
    process.exitCode = costs.every(({ measured, atMost = Infinity }) => measured <= atMost) ? 0 : 1;
    break;
  }
  default:
    console.error(usage);
    exit(2);
}
// Engines keep threads.
exit();
