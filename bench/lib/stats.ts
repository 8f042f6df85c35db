/** A figure measured several times. */
export interface Sample {
  median: number;
  mean: number;
  /** Half of the distance between the quartiles, as a share of the median: 0.05 is ±5 %. */
  spread: number;
  /** Nine of ten values are not higher. */
  high: number;
  runs: number;
}

/** @param values at least one */
export function sample(values: readonly number[]): Sample {
  const median = quantile(values, 0.5);
  const spread = (quantile(values, 0.75) - quantile(values, 0.25)) / 2 / Math.abs(median || 1);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { median, mean, spread, high: quantile(values, 0.9), runs: values.length };
}

/** Interpolates between the two nearest values; NaN of none. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = (sorted.length - 1) * share;
  const below = sorted[Math.floor(place)] ?? NaN;
  const above = sorted[Math.ceil(place)] ?? NaN;
  return below + (above - below) * (place - Math.floor(place));
}

/** Slopes of a least-squares fit, `y ≈ b₁x₁ + b₂x₂ + …`, by the normal equations. */
export function fit(design: readonly (readonly number[])[], y: readonly number[]): number[] {
  const size = design[0]?.length ?? 0;
  const dot = (f: (row: readonly number[], index: number) => number): number =>
    design.reduce((sum, row, index) => sum + f(row, index), 0);
  const system = Array.from({ length: size }, (_, i) => [
    ...Array.from({ length: size }, (__, j) => dot((row) => (row[i] ?? 0) * (row[j] ?? 0))),
    dot((row, index) => (row[i] ?? 0) * (y[index] ?? 0)),
  ]);
  return solve(system);
}

/** Gaussian elimination with partial pivoting; each row ends with its right side. */
function solve(system: number[][]): number[] {
  const at = (row: number, column: number): number => system[row]?.[column] ?? 0;
  const size = system.length;
  for (let column = 0; column < size; column++) {
    const rows = Array.from({ length: size - column }, (_, offset) => column + offset);
    const pivot = rows.reduce((best, row) => (Math.abs(at(row, column)) > Math.abs(at(best, column)) ? row : best));
    [system[column], system[pivot]] = [system[pivot] ?? [], system[column] ?? []];
    for (let row = 0; row < size; row++) {
      if (row === column) continue;
      const factor = at(row, column) / at(column, column);
      system[row] = (system[row] ?? []).map((value, index) => value - factor * at(column, index));
    }
  }
  return system.map((row, index) => (row[size] ?? 0) / (row[index] ?? 1));
}
