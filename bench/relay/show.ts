import { figure, type Line, table, withSpread } from '../lib/report.ts';
import type { Row } from './main.ts';
import type { Memory } from './measures.ts';

/** What a guard and a reader of numbers need, in one object. */
export function summary(rows: readonly Row[]): Record<string, unknown> {
  const [floor, own] = rows;
  return {
    cpuPerSignalVsFloor: own?.signal.ratio.median,
    memoryPerPeerVsFloor: (own?.memory?.heap ?? NaN) / (floor?.memory?.heap ?? NaN),
    cpuPerJoinVsFloor: own?.join.ratio.median,
    rssPerPeerVsFloor: (own?.memory?.rss ?? NaN) / (floor?.memory?.rss ?? NaN),
    rows,
  };
}

export function relayTable(rows: readonly Row[]): string {
  const head = [
    'relay',
    'CPU/signal',
    '× floor',
    'CPU/join',
    '× floor',
    'heap/peer',
    'RSS/peer',
    'latency p50',
    'p99',
    'Redis/signal',
  ];
  return table(
    head,
    rows.map(({ name, signal, join, memory, latency, redisCommandsPerSignal }) => [
      name,
      withSpread(signal.value, 'µs'),
      withSpread(signal.ratio),
      withSpread(join.value, 'µs'),
      withSpread(join.ratio),
      memory ? figure(memory.heap / 1024, 'KB') : '',
      memory ? figure(memory.rss / 1024, 'KB') : '',
      figure(latency.p50, 'ms'),
      figure(latency.p99, 'ms'),
      redisCommandsPerSignal === undefined ? '' : figure(redisCommandsPerSignal),
    ]),
  );
}

/** Other relays, by their names. */
const others = ['PeerJS', 'y-webrtc', 'Socket.IO'];

export function relayLines(rows: readonly Row[]): Line[] {
  const of = (name: string): Row | undefined => rows.find((row) => row.name === name);
  const [floor, own] = rows;
  const times = (kind: keyof Memory): number => (own?.memory?.[kind] ?? NaN) / (floor?.memory?.[kind] ?? NaN);
  const signal = own?.signal.value.median ?? NaN;
  const join = own?.join.ratio.median ?? NaN;
  const result: Line[] = [
    { what: 'CPU of a signal from peer to peer, µs', measured: signal },
    { what: '… × floor', measured: own?.signal.ratio.median ?? NaN },
  ];
  for (const name of others) {
    const other = of(name);
    if (!other) continue;
    const line = { what: `… × ${name}`, measured: signal / other.signal.value.median };
    result.push(name === 'PeerJS' ? { ...line, atMost: 1 } : line);
  }
  result.push(
    {
      what: 'CPU of a join (HS256), from the TCP handshake to the answer, µs',
      measured: own?.join.value.median ?? NaN,
    },
    { what: '… × floor', measured: join, atMost: 3 },
    { what: 'live objects of an idle peer, × floor', measured: times('heap'), atMost: 1.35 },
  );
  // Resident memory says something only of as many peers as the full run has.
  if (of('PeerJS')) {
    result.push({ what: 'resident memory of an idle peer, × floor', measured: times('rss'), atMost: 1.35 });
  }
  const two = of('mcp-rendezvous, 2 instances');
  if (two) {
    result.push({ what: 'across instances: CPU of both, × floor', measured: two.signal.ratio.median, atMost: 3 });
    const commands = two.redisCommandsPerSignal ?? NaN;
    result.push({ what: 'across instances: Redis commands per signal', measured: commands, atMost: 1.1 });
  }
  return result;
}
