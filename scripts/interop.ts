import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv, execPath, exit } from 'node:process';
import type { Cell } from '../test/interop/matrix.test.ts';

/**
 * Runs the matrix of test/interop and writes what it measured into docs/internals/interop.md,
 * between its markers.
 * With a file that the test wrote before (INTEROP_CELLS), that one's figures.
 *
 * Usage: sh scripts/network.sh node --conditions=mcp-rendezvous-source scripts/interop.ts
 * [cells.json]
 */
const [, , measured] = argv;
const cells = JSON.parse(measured ? readFileSync(measured, 'utf8') : measure()) as Cell[];
const document = 'docs/internals/interop.md';
const contents = readFileSync(document, 'utf8');
const between = /(<!-- interop: .*? -->\n)[^]*?(<!-- \/interop -->)/;
if (!between.test(contents))
  throw new Error('docs/internals/interop.md has no markers <!-- interop: … --> and <!-- /interop -->.');
writeFileSync(
  document,
  contents.replace(between, (_, start: string, end: string) => `${start}${table()}${end}`),
);

function measure(): string {
  const folder = mkdtempSync(join(tmpdir(), 'interop-'));
  const file = join(folder, 'cells.json');
  const options = ['--conditions=mcp-rendezvous-source', '--test'];
  const { status } = spawnSync(execPath, [...options, 'test/interop/matrix.test.ts'], {
    stdio: 'inherit',
    env: { ...process.env, INTEROP_CELLS: file, FULL_TESTS: '1' },
  });
  if (status !== 0) exit(1); // a table with holes would be a claim
  const text = readFileSync(file, 'utf8');
  rmSync(folder, { recursive: true });
  return text;
}

/** A row for each server, a column for each client, and the way through TURN. */
function table(): string {
  const names = [...new Set(cells.map(({ server }) => server))];
  const ms = (server: string, client: string, way: Cell['way']) =>
    cells.find((cell) => cell.server === server && cell.client === client && cell.way === way)?.ms ?? '–';
  const row = (words: unknown[]) => `| ${words.join(' | ')} |\n`;
  const rows = names.map((server) => [
    server,
    ...names.map((client) => `${ms(server, client, 'client')} / ${ms(server, client, 'server')}`),
    ms(server, server, 'turn'),
  ]);
  const heading = ['server ↓ client →', ...names, 'TURN only'];
  return `\n${row(heading)}${row(heading.map(() => '---'))}${rows.map(row).join('')}\n`;
}
