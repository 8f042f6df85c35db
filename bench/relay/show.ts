import { barPlot } from '../lib/plot.ts';
import { figure, type Line, table, withSpread } from '../lib/report.ts';
import type { Row } from './main.ts';

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
    '',
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

export function relayLines(rows: readonly Row[]): Line[] {
  const of = (name: string): Row | undefined => rows.find((row) => row.name === name);
  const [floor, own] = rows;
  const signal = own?.signal.value.median ?? NaN;
  const result: Line[] = [
    { what: 'CPU per signal, × floor', measured: own?.signal.ratio.median ?? NaN, atMost: 1.25 },
    {
      what: 'memory per idle peer, × floor',
      measured: (own?.memory?.heap ?? NaN) / (floor?.memory?.heap ?? NaN),
      atMost: 1.25,
    },
    { what: 'CPU per join (HS256), × floor', measured: own?.join.ratio.median ?? NaN, atMost: 2.5 },
  ];
  for (const name of ['PeerJS', 'y-webrtc']) {
    const other = of(name);
    if (other)
      result.push({ what: `CPU per signal, × ${name}`, measured: signal / other.signal.value.median, atMost: 1 });
  }
  const two = of('mcp-rendezvous, 2 instances');
  if (two) {
    result.push({ what: 'across instances: CPU of both, × floor', measured: two.signal.ratio.median, atMost: 3 });
    const commands = two.redisCommandsPerSignal ?? NaN;
    result.push({ what: 'across instances: Redis commands per signal', measured: commands, atMost: 1.1 });
  }
  return result;
}

export const relayPlot = (rows: readonly Row[]): string =>
  barPlot([
    {
      title: 'CPU per signal',
      unit: 'µs',
      bars: rows.map(({ name, signal }) => ({ name, value: signal.value.median })),
    },
    { title: 'CPU per join', unit: 'µs', bars: rows.map(({ name, join }) => ({ name, value: join.value.median })) },
    {
      title: 'Memory per idle peer, resident',
      unit: 'KB',
      bars: rows.flatMap(({ name, memory }) => (memory ? [{ name, value: memory.rss / 1024 }] : [])),
    },
  ]);
