import { type Fault, faults } from './storm.ts';
import type { Outcome } from './trial.ts';

type Column = [title: string, value: (outcome: Outcome) => number | string];

const ends = ({ server, client }: Outcome) => [server, client];
const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);
const recoveries = (outcome: Outcome, how?: string) =>
  ends(outcome).flatMap((end) => end.recoveries.filter((recovery) => how === undefined || recovery.how === how));
const seconds = (ms: number): string => (ms / 1000).toFixed(1);
const slowest = (outcome: Outcome): number => Math.max(0, ...recoveries(outcome).map(({ tookMs }) => tookMs));
/** Where there was a way between the ends. */
const pause = ({ pauses }: Outcome): number => Math.max(0, ...pauses.values());
/** What the user waits, come what may. */
const wait = (outcome: Outcome): number =>
  Math.max(0, ...ends(outcome).flatMap(({ pauses }) => pauses.map(({ from, until }) => until - from)));
const lost = ({ server, client }: Outcome): number => server.sent + client.sent - server.received - client.received;

const counted: Column[] = [
  ...faults.map((fault: Fault): Column => [fault, (outcome) => outcome.faults[fault]]),
  ['new connections', (outcome) => recoveries(outcome, 'new connection').length],
  ['ICE restarts', (outcome) => recoveries(outcome, 'ICE restart').length],
  ['same path', (outcome) => recoveries(outcome, 'same connection').length],
];
const verdict: Column[] = [
  ['messages', ({ server, client }) => server.received + client.received],
  ['lost', lost],
  ['doubled', (outcome) => sum(ends(outcome).map(({ doubled }) => doubled))],
  ['reordered', (outcome) => sum(ends(outcome).map(({ reordered }) => reordered))],
  ['calls run twice', ({ server }) => server.ranAgain],
  ['calls unanswered', ({ client, scale }) => scale.calls - client.answered],
];

const kinds = ({ pauses }: Outcome): string =>
  pauses.size === 0 ? '' : ` (${[...pauses].map(([fault, longest]) => `${fault} ${seconds(longest)}`).join(', ')})`;

const lengths: [title: string, value: (outcome: Outcome) => number][] = [
  ...faults.map((fault: Fault): [string, (outcome: Outcome) => number] => [
    `${fault}: pause (s)`,
    ({ pauses }) => pauses.get(fault) ?? 0,
  ]),
  ['longest pause (s)', pause],
  ['relay and path down together included (s)', wait],
  ['slowest recovery (s)', slowest],
];

const verdictOn = ({ problems, slow }: Outcome): string =>
  problems.length > 0 ? 'BROKEN' : slow.length > 0 ? 'SLOW' : 'held';

/** One line for one seed, as soon as it is known. */
export function line(outcome: Outcome): string {
  const values = [...counted, ...verdict].map(([title, value]) => `${title} ${value(outcome)}`);
  const memory = ends(outcome).map(({ memoryMiB }) => memoryMiB.toFixed(0));
  return [
    `seed ${outcome.seed}, ${outcome.engine}: ${verdictOn(outcome)}`,
    ...values,
    `longest pause ${seconds(pause(outcome))} s${kinds(outcome)}`,
    `${seconds(wait(outcome))} s with the time when relay and path were down together, and all faults in it`,
    `slowest recovery ${seconds(slowest(outcome))} s`,
    `memory ${memory.join(' and ')} MiB`,
    `load ${outcome.load.toFixed(0)}`,
  ].join(', ');
}

/** Everything about one seed. */
export const story = (outcome: Outcome): string =>
  [line(outcome), ...[...outcome.problems, ...outcome.slow].map((problem) => `  ✗ ${problem}`), ...outcome.events].join(
    '\n',
  );

/** All seeds as a Markdown table, with a sum. */
export function markdown(outcomes: Outcome[]): string {
  const columns = [...counted, ...verdict];
  const titles = ['seed', 'engine', ...columns.map(([title]) => title), ...lengths.map(([title]) => title)];
  const row = (outcome: Outcome) => [
    outcome.seed,
    outcome.engine,
    ...columns.map(([, value]) => value(outcome)),
    ...lengths.map(([, value]) => seconds(value(outcome))),
  ];
  const total = [
    'sum',
    '',
    ...columns.map(([, value]) => sum(outcomes.map((outcome) => Number(value(outcome))))),
    ...lengths.map(([, value]) => seconds(Math.max(...outcomes.map(value)))),
  ];
  const rows = [titles, titles.map((_, index) => (index === 1 ? '---' : '---:')), ...outcomes.map(row), total];
  return rows.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
