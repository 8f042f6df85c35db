import { figure, type Line, table } from '../lib/report.ts';
import type { InstancesRow, PeersRow } from './main.ts';

export function peersTable(rows: readonly PeersRow[]): string {
  const head = [
    'idle peers',
    'all joined after',
    'CPU/join',
    'CPU/signal',
    'RSS/peer',
    'heap/peer',
    'idle CPU',
    'loop delay p99',
  ];
  return table(
    head,
    rows.map((row) => [
      String(row.peers),
      figure(row.stormSeconds, 's'),
      figure(row.cpuPerJoin, 'µs'),
      figure(row.cpuPerSignal, 'µs'),
      figure(row.rssPerPeer / 1024, 'KB'),
      figure(row.heapPerPeer / 1024, 'KB'),
      `${figure(row.idleCpu * 100)} %`,
      figure(row.delay.p99, 'ms'),
    ]),
  );
}

export const instancesTable = (rows: readonly InstancesRow[]): string =>
  table(
    ['instances', 'CPU/join', 'CPU/signal'],
    rows.map((row) => [String(row.instances), figure(row.cpuPerJoin, 'µs'), figure(row.cpuPerSignal, 'µs')]),
  );

export function growthLines(rows: readonly PeersRow[]): Line[] {
  const [first, last] = [rows[0], rows.at(-1)];
  if (!first || !last) return [];
  return [
    { what: `event-loop delay p99 with ${last.peers} idle peers, ms`, measured: last.delay.p99, atMost: 20 },
    { what: `idle CPU with ${last.peers} peers, %`, measured: last.idleCpu * 100, atMost: 2 },
    {
      what: `CPU per signal, ${last.peers} to ${first.peers} peers`,
      measured: last.cpuPerSignal / first.cpuPerSignal,
      atMost: 1.5,
    },
    {
      what: `CPU per join, ${last.peers} to ${first.peers} peers`,
      measured: last.cpuPerJoin / first.cpuPerJoin,
      atMost: 1.5,
    },
    {
      what: `heap per peer, ${last.peers} to ${first.peers} peers`,
      measured: last.heapPerPeer / first.heapPerPeer,
      atMost: 1.5,
    },
  ];
}
