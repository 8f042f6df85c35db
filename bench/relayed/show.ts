import { figure, type Line, table } from '../lib/report.ts';
import type { Relayed } from './main.ts';

/** Everything as text, table by table. */
export const relayedTables = ({ transfers, stalls }: Relayed): string[] => [
  table(
    [
      'round trip to the relay',
      'result',
      'took',
      'of the rate',
      'signals p50, p99 idle',
      'by another relay',
      'meanwhile',
    ],
    transfers.map(({ roundTripMs, bytes, ms, share, idle, elsewhere, meanwhile }) => [
      `${roundTripMs} ms`,
      `${figure(bytes / 1_048_576)} MiB`,
      figure(ms / 1000, 's'),
      `${Math.round(share * 100)} %`,
      `${figure(idle.p50)}, ${figure(idle.p99)} ms`,
      `${figure(elsewhere.p50)}, ${figure(elsewhere.p99)} ms`,
      `${figure(meanwhile.p50)}, ${figure(meanwhile.p99)} ms`,
    ]),
  ),
  table(
    ['pairs that stall', 'sent', 'waits', 'live objects', 'resident', '… where all read', 'closed'],
    stalls.map(({ pairs, sentMiB, waitingMiB, heapMiB, rssMiB, flowingRssMiB, closed }) => [
      String(pairs),
      figure(sentMiB, 'MiB'),
      figure(waitingMiB, 'MiB'),
      figure(heapMiB, 'MiB'),
      figure(rssMiB, 'MiB'),
      figure(flowingRssMiB, 'MiB'),
      String(closed),
    ]),
  ),
];

/** The promises about the relayed path. */
export const relayedLines = ({ transfers, stalls }: Relayed): Line[] => [
  ...transfers.flatMap(({ roundTripMs, share, whole, idle, elsewhere, meanwhile }): Line[] => [
    {
      what: `10 MiB relayed, ${roundTripMs} ms to the relay: time, × what the rate allows`,
      measured: whole ? 1 / share : NaN,
      atMost: 1 / 0.8,
    },
    { what: '… signals of others meanwhile, p99 beyond idle, ms', measured: meanwhile.p99 - idle.p99, atMost: 5 },
    { what: '… the same with the result on another relay, ms', measured: elsewhere.p99 - idle.p99 },
  ]),
  {
    what: 'pairs that stall: MiB beyond pairs that read',
    measured: Math.max(...stalls.map(({ rssMiB, flowingRssMiB }) => rssMiB - flowingRssMiB)),
    atMost: 64e6 / 1_048_576,
  },
];
