import { readFileSync, writeFileSync } from 'node:fs';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Outcome } from './cell.ts';
import { modeNames } from './internet.ts';
import { runCells } from './laboratories.ts';
import { cellsOf } from './plan.ts';
import { line, markdown, story } from './table.ts';

/**
 * Connects a server and a client in every two kinds of networks, and prints what became of each.
 * Ends with 1 when one was not as promised.
 *
 * Usage: node test/networks/main.ts [--mode 'relayed on'|'relayed off'] [--engine
 * werift|default|chromium] [--server kind] [--client kind] [--parallel 2] [--events] [--write];
 * without filters all cells. --events prints what happened, also when all held; --write puts the
 * table into docs/internals/networks.md. Needs Linux, and root or user namespaces.
 */
const { values } = parseArgs({
  args: argv.slice(2),
  options: {
    mode: { type: 'string' },
    engine: { type: 'string' },
    server: { type: 'string' },
    client: { type: 'string' },
    parallel: { type: 'string', default: '2' },
    events: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});
const isWanted = (wanted: string | undefined, value: string): boolean => wanted === undefined || wanted === value;
const cells = modeNames
  .flatMap(cellsOf)
  .filter(
    ({ mode, engine, server, client, chromium }) =>
      isWanted(values.mode, mode) &&
      isWanted(values.engine, chromium ? 'chromium' : engine) &&
      isWanted(values.server, server) &&
      isWanted(values.client, client),
  );
if (cells.length === 0) {
  console.error('No cell is like that.');
  process.exit(2);
}

const outcomes: Outcome[] = [];
await runCells(cells, Number(values.parallel), (outcome) => {
  outcomes.push(outcome);
  console.log(outcome.problems.length > 0 || values.events ? story(outcome) : line(outcome));
  if (outcome.problems.length > 0) process.exitCode = 1;
  // Each time: a run that is stopped has its table, too.
  if (values.write) writeTable();
});

function writeTable(): void {
  const file = fileURLToPath(new URL('../../docs/internals/networks.md', import.meta.url));
  const between = /(<!-- begin: npm run networks -- --write -->\n)[^]*(<!-- end -->)/;
  const replaced = (_: string, begin: string, end: string) => `${begin}\n${markdown(outcomes)}\n\n${end}`;
  writeFileSync(file, readFileSync(file, 'utf8').replace(between, replaced));
}
