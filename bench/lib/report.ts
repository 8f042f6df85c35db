import type { Sample } from './stats.ts';

/** A table as text: the first column to the left, the others to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd();
  return [line(head), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n');
}

/** Three significant digits, with a unit behind them. */
export function figure(value: number, unit = ''): string {
  if (!Number.isFinite(value)) return '–';
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return `${value.toFixed(Math.min(digits, 3))}${unit && ` ${unit}`}`;
}

/** The median and, when it was measured several times, how far the middle half of the runs lies from it. */
export function withSpread({ median, spread, runs }: Sample, unit = ''): string {
  return runs > 1 ? `${figure(median, unit)} ±${Math.round(spread * 100)}%` : figure(median, unit);
}

/** A promise of docs/performance.md, kept or not. */
export interface Line {
  what: string;
  measured: number;
  atMost: number;
}

export function lines(all: readonly Line[]): string {
  return table(
    ['', 'measured', 'at most', ''],
    all.map(({ what, measured, atMost }) => [
      what,
      figure(measured),
      figure(atMost),
      measured <= atMost ? 'holds' : 'DOES NOT HOLD',
    ]),
  );
}
