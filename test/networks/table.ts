import type { EngineName, Outcome, Settled } from './cell.ts';
import { type Mode, modeNames } from './internet.ts';
import { type Kind, kinds } from './kinds.ts';
import { engines } from './plan.ts';

const seconds = (ms: number | undefined): string => (ms === undefined ? '–' : `${(ms / 1000).toFixed(1)} s`);

/** `turn (werift)`; with two engines the server's first. */
function where(settled: Settled | undefined): string {
  if (!settled) return '–';
  const names = [...new Set(settled.engines)].join(', ');
  return names === '' ? settled.path : `${settled.path} (${names})`;
}

/** One line for one cell, as soon as it is known. */
export function line(outcome: Outcome): string {
  const { cell, failed, firstAnswerMs, settled, end, backAfterMs, longestPauseMs, problems } = outcome;
  const { mode, server, client, engine, chromium, change } = cell;
  const who = `${mode}, ${chromium ? `Chromium as ${chromium}` : engine}: ${server} ← ${client}`;
  const held = problems.length === 0 ? 'held' : 'BROKEN';
  if (failed !== undefined) return `${who}: ${held}, not connected (${failed})`;
  return (
    `${who}: ${held}, first answer ${seconds(firstAnswerMs)}, after 5 s ${where(settled)}; ${change.what} of the ` +
    `${change.side}: longest pause ${seconds(longestPauseMs)}, ${where(end)} after ${seconds(backAfterMs)}`
  );
}

/** Everything about one cell. */
export const story = (outcome: Outcome): string =>
  [line(outcome), ...outcome.problems.map((problem) => `  ✗ ${problem}`), ...outcome.events].join('\n');

/** All that was run, as Markdown. */
export function markdown(outcomes: Outcome[]): string {
  const grids = modeNames.flatMap((mode) =>
    engines.flatMap((engine) => {
      const found = outcomes.filter(({ cell }) => cell.mode === mode && cell.engine === engine && !cell.chromium);
      return found.length === 0 ? [] : [grid(mode, engine, found)];
    }),
  );
  const pages = outcomes.filter(({ cell }) => cell.chromium).map((outcome) => `- ${line(outcome)}`);
  const broken = outcomes
    .filter(({ problems }) => problems.length > 0)
    .map((outcome) => `- ${line(outcome)}\n${outcome.problems.map((problem) => `  - ${problem}`).join('\n')}`);
  return [
    ...modeNames.map((mode) => summary(mode, outcomes)),
    ...grids,
    ...(pages.length > 0 ? [['### A page in Chromium', ...pages].join('\n\n')] : []),
    ...(broken.length > 0 ? [`### What did not hold\n\n${broken.join('\n')}`] : []),
  ].join('\n\n');
}

function summary(mode: Mode, outcomes: Outcome[]): string {
  const all = outcomes.filter(({ cell }) => cell.mode === mode && !cell.chromium);
  const connected = all.filter(({ firstAnswerMs }) => firstAnswerMs !== undefined);
  const held = all.filter(({ problems }) => problems.length === 0);
  return `**${titles[mode]}**: ${connected.length} of ${all.length} cells connect, and ${held.length} are as promised.`;
}

const titles: Record<Mode, string> = {
  'relayed on': 'Relayed path on, TURN over UDP and TCP',
  'relayed off': 'Relayed path off, TURN over UDP, TCP and TLS at port 443',
};

function grid(mode: Mode, engine: EngineName, outcomes: Outcome[]): string {
  const text = (server: Kind, client: Kind): string => {
    const found = outcomes.find(({ cell }) => cell.server === server && cell.client === client);
    return found ? cellText(found) : '';
  };
  const rows = [
    ['server ↓, client →', ...kinds],
    kinds.concat(kinds[0]).map(() => '---'),
    ...kinds.map((server) => [`**${server}**`, ...kinds.map((client) => text(server, client))]),
  ];
  const title = `### ${titles[mode]}: ${engine === 'default' ? 'the default, with node-datachannel installed' : engine}`;
  return `${title}\n\n${rows.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}`;
}

function cellText({
  cell: { change },
  failed,
  firstAnswerMs,
  settled,
  end,
  longestPauseMs,
  problems,
}: Outcome): string {
  const mark = problems.length > 0 ? '✗ ' : '';
  if (failed !== undefined) return `${mark}no path (\`${failed}\`)`;
  return (
    `${mark}${seconds(firstAnswerMs)}, ${where(settled)}<br>${change.side}'s ${change.what}: ` +
    `${where(end)}, ${seconds(longestPauseMs)}`
  );
}
