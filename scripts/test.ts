import { relative } from 'node:path';
import { argv, stdout } from 'node:process';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

/**
 * Runs the tests and prints node:test's summary. Red, where `node --test` alone is green or hangs: no test at all, a file
 * without one, a skipped or unfinished ("todo") test, a file that does not come to an end.
 *
 * Usage: node scripts/test.ts [globs…]; without globs everything but test/compose, which needs scripts/engine.sh.
 */
const folders = ['protocol', 'sdk', 'server', 'test/!(compose)', 'examples', 'scripts'];
const everything = ['test/*.test.ts', ...folders.map((folder) => `${folder}/**/*.test.ts`)];
const testTimeoutMs = 120_000;
// A test that hangs ends by the timeout above; what is silent for longer is a process that something keeps alive.
const silenceMs = testTimeoutMs + 30_000;

const problems: string[] = [];
const abort = new AbortController();
const watchdog = setTimeout(() => {
  problems.push(`a file did not end: nothing happened for ${silenceMs / 1000} s`);
  abort.abort();
}, silenceMs);

const events = run({
  globPatterns: argv.length > 2 ? argv.slice(2) : everything,
  // Most tests wait for something most of the time.
  concurrency: 3,
  execArgv: ['--conditions=mcp-rendezvous-source', `--test-timeout=${testTimeoutMs}`],
  signal: abort.signal,
});
events.on('test:complete', () => watchdog.refresh());
events.on('test:pass', ({ name, nesting }) => {
  // The runner counts a file that has no test as one test by the file's name.
  if (nesting === 0 && name.endsWith('.test.ts')) problems.push(`no test in ${name}`);
});
const seconds = new Map<string, number>();
events.on('test:summary', ({ file, counts, success, duration_ms: ms }) => {
  if (file !== undefined) return void seconds.set(relative('.', file), ms / 1000);
  clearTimeout(watchdog);
  if (counts.tests === 0) problems.push('no test was found');
  if (counts.skipped + counts.todo > 0) problems.push(`${counts.skipped} skipped, ${counts.todo} todo`);
  if (!success) problems.push(`${counts.tests - counts.passed} of ${counts.tests} tests did not pass`);
});
events.once('end', () => {
  const slowest = [...seconds].toSorted(([, one], [, other]) => other - one).slice(0, 12);
  console.error(
    `\nSlowest files:\n${slowest.map(([file, took]) => `${took.toFixed(1).padStart(6)} s  ${file}`).join('\n')}`,
  );
  if (problems.length === 0) return;
  process.exitCode = 1;
  console.error(`\nThe tests are red: ${problems.join('; ')}.`);
});
events.compose(spec).pipe(stdout);
