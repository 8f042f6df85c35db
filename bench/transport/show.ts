import { figure, type Line, table, withSpread } from '../lib/report.ts';
import type { WireRow } from './main.ts';

export const transportTable = (rows: readonly WireRow[]): string =>
  table(
    ['wire', 'connect', 'mean', '9 of 10 below', 'round trip', '× raw', 'calls/s 1', '16', '256', 'large', '× raw'],
    rows.map((row) => [
      row.name,
      withSpread(row.connect.value, 'ms'),
      figure(row.connect.value.mean, 'ms'),
      figure(row.connect.value.high, 'ms'),
      withSpread(row.roundTrip.value, 'ms'),
      figure(row.roundTrip.ratio.median),
      ...Object.values(row.calls).map((calls) => figure(calls.value.median)),
      withSpread(row.throughput.value, 'MB/s'),
      figure(row.throughput.ratio.median),
    ]),
  );

export function transportLines(rows: readonly WireRow[]): Line[] {
  const http = rows.find(({ name }) => name === 'Streamable HTTP');
  return rows.flatMap((row, index): Line[] => {
    const { name, connect, roundTrip, throughput } = row;
    // Each group begins with the raw channel.
    const raw = rows[index - 1];
    if (!name.startsWith('mcp-rendezvous') || !raw) return [];
    // On average: of what takes either 8 ms or a second, as node-datachannel does, the median is
    // the one or the other.
    const beyond = connect.value.mean - raw.connect.value.mean;
    const lines = [
      { what: `${name}: round trip, × raw channel`, measured: roundTrip.ratio.median, atMost: 1.15 },
      { what: `${name}: raw channel's throughput, × its own`, measured: 1 / throughput.ratio.median, atMost: 1 / 0.9 },
      {
        what: `${name}: connecting, ms beyond the raw channel on average (the relay's round trips take less than 1)`,
        measured: beyond,
        atMost: 20,
      },
    ];
    if (!http || !name.endsWith('node-datachannel')) return lines;
    const measured = roundTrip.value.median / http.roundTrip.value.median;
    return [...lines, { what: `${name}: a call, × Streamable HTTP`, measured, atMost: 1 }];
  });
}
