import assert from 'node:assert/strict';

interface Row {
  what: string;
  measured: string;
  promised: string;
  held: boolean;
}

/**
 * What was measured under one fault, beside what is promised. Every figure is taken before the
 * verdict.
 */
export class Report {
  readonly fault: string;
  readonly #rows: Row[] = [];
  readonly #busyMs: number;

  /** @param busyMs what each promised time may take longer on a busy machine */
  constructor(fault: string, busyMs = 0) {
    this.fault = fault;
    this.#busyMs = busyMs;
  }

  atMost(what: string, measured: number, promised: number, unit = ''): void {
    const limit = promised + (unit === 'ms' ? this.#busyMs : 0);
    this.#add(what, show(measured, unit), `≤ ${show(limit, unit)}`, measured <= limit);
  }

  atLeast(what: string, measured: number, limit: number, unit = ''): void {
    this.#add(what, show(measured, unit), `≥ ${show(limit, unit)}`, measured >= limit);
  }

  exactly(what: string, measured: number, promised: number): void {
    this.#add(what, show(measured), show(promised), measured === promised);
  }

  /** A figure without a promise. */
  figure(what: string, measured: number, unit = ''): void {
    this.#add(what, show(measured, unit), '', true);
  }

  get rows(): readonly Row[] {
    return this.#rows;
  }

  /** Throws when a promise was not kept, with every figure. */
  verdict(): void {
    if (this.#rows.some(({ held }) => !held)) assert.fail(`${this.fault}\n${this.toString()}`);
  }

  toString(): string {
    return this.#rows
      .map(
        ({ what, measured, promised, held }) =>
          `${held ? '  ' : '✗ '}${what}: ${measured}${promised && ` (promised ${promised})`}`,
      )
      .join('\n');
  }

  #add(what: string, measured: string, promised: string, held: boolean): void {
    this.#rows.push({ what, measured, promised, held });
  }
}

/** All reports as one Markdown table. */
export function markdown(reports: Report[]): string {
  const lines = reports.flatMap(({ fault, rows }) =>
    rows.map(
      ({ what, measured, promised, held }, index) =>
        `| ${[index === 0 ? fault : '', what, held ? measured : `**${measured}**`, promised].join(' | ')} |`,
    ),
  );
  return ['| fault | | measured | promised |', '| --- | --- | ---: | ---: |', ...lines].join('\n');
}

/** The value below which this share of the values lies; 0 for none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

const show = (value: number, unit = ''): string =>
  `${value.toLocaleString('en', { maximumFractionDigits: 0 })}${unit && ` ${unit}`}`;
