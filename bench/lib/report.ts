import type { Sample } from './stats.ts';

/** A table in Markdown: the first column to the left, the others to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(4, ...all.map((row) => (row[column] ?? '').length)));
  const cells = (row: readonly string[]): string[] =>
    widths.map((width, column) => (column === 0 ? (row[0] ?? '').padEnd(width) : (row[column] ?? '').padStart(width)));
  const rule = widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`));
  return [cells(head), rule, ...rows.map(cells)].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

/** Three significant digits, with a unit behind them. */
export function figure(value: number, unit = ''): string {
  if (!Number.isFinite(value)) return '–';
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return `${value.toFixed(Math.min(digits, 3))}${unit && ` ${unit}`}`;
}

/**
 * The median and, when it was measured several times, how far the middle half of the runs lies from
 * it.
 */
export function withSpread({ median, spread, runs }: Sample, unit = ''): string {
  return runs > 1 ? `${figure(median, unit)} ±${Math.round(spread * 100)}%` : figure(median, unit);
}

/** A row of docs/internals/performance.md. */
export interface Line {
  what: string;
  measured: number;
  /** Its budget. Undefined: none, the figure says how large something is. */
  atMost?: number;
}

/** The rows of docs/internals/performance.md that a command measures, in Markdown. */
export function lines(command: string, all: readonly Line[]): string {
  return table(
    ['Measure', 'Measured', 'Budget', 'Holds', 'Command'],
    all.map(({ what, measured, atMost }) => [
      what,
      figure(measured),
      atMost === undefined ? '' : `≤ ${figure(atMost)}`,
      atMost === undefined ? '' : measured <= atMost ? 'yes' : '**no**',
      `\`${command}\``,
    ]),
  );
}
