import type { Path } from './paths.ts';

/** One line of Prometheus' text format: a metric's name, its labels, its value. */
export interface Metric {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** Reads Prometheus' text format, as far as this relay writes it. */
export function readMetrics(text: string): Metric[] {
  return text.split('\n').flatMap((line) => {
    const [, name, labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (name === undefined) return [];
    const pairs = Array.from(labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g), ([, key = '', of = '']) => [key, of]);
    return [{ name, labels: Object.fromEntries(pairs) as Record<string, string>, value: Number(value) }];
  });
}

export const sum = (metrics: Metric[], name: string): number =>
  metrics.reduce((total, metric) => (metric.name === name ? total + metric.value : total), 0);

/** Sessions by path, as clients report them: counted since the instance started. */
export const sessionsOn = (metrics: Metric[], path: Path): number =>
  sum(
    metrics.filter(({ labels }) => labels['path'] === path),
    'rendezvous_session_paths_total',
  );

/** What was refused, by reason: counted since the instance started. */
export function rejections(metrics: Metric[]): Map<string, number> {
  const found = new Map<string, number>();
  const add = (why: string, value: number): void => void found.set(why, (found.get(why) ?? 0) + value);
  for (const { name, labels, value } of metrics) {
    if (name === 'rendezvous_errors_total') add(labels['code'] ?? '?', value);
    if (name === 'rendezvous_limited_total') add(`limit: ${labels['limit'] ?? '?'}`, value);
    if (name === 'rendezvous_admin_refused_total') add(`operator: HTTP ${labels['status'] ?? '?'}`, value);
    if (name === 'rendezvous_outcomes_total') add(`signal: ${labels['code'] ?? '?'}`, value);
  }
  return found;
}
