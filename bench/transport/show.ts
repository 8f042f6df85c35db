import { figure, type Line, table, withSpread } from '../lib/report.ts';
import type { WireRow } from './main.ts';

export const transportTable = (rows: readonly WireRow[]): string =>
  table(
    ['', 'connect', 'round trip', '× raw', 'calls/s 1', '16', '256', 'large', '× raw'],
    rows.map((row) => [
      row.name,
      withSpread(row.connect.value, 'ms'),
      withSpread(row.roundTrip.value, 'ms'),
      figure(row.roundTrip.ratio.median),
      ...Object.values(row.calls).map((calls) => figure(calls.value.median)),
      withSpread(row.throughput.value, 'MB/s'),
      figure(row.throughput.ratio.median),
    ]),
  );

export function transportLines(rows: readonly WireRow[]): Line[] {
  const result: Line[] = [];
  let http: WireRow | undefined;
  for (const row of rows.toReversed()) {
    if (row.name === 'Streamable HTTP') http = row;
    if (!row.name.startsWith('mcp-rendezvous')) continue;
    const { name, roundTrip, throughput } = row;
    result.unshift(
      { what: `${name}: round trip, × raw channel`, measured: roundTrip.ratio.median, atMost: 1.15 },
      { what: `${name}: raw channel's throughput, × its own`, measured: 1 / throughput.ratio.median, atMost: 1 / 0.9 },
    );
    if (!http || !name.endsWith('node-datachannel')) continue;
    const measured = roundTrip.value.median / http.roundTrip.value.median;
    result.push({ what: `${name}: a call, × Streamable HTTP`, measured, atMost: 1 });
  }
  return result;
}
