import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { stdout } from 'node:process';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { parseArgs } from 'node:util';
import { coveredGlobs, problemsOfCoverage } from './coverage.ts';
import { testFiles, tierOf, tiers } from './tiers.ts';

/**
 * Runs the tests and prints node:test's summary. Red, where `node --test` alone is green or hangs:
 * no test at all, a file without one, a skipped or unfinished ("todo") test, a file that does not
 * come to an end.
 *
 * Usage: node scripts/test.ts [--tier unit|system] [--full] [globs…]
 *
 * Without globs everything, or all of a tier, but test/compose, which needs scripts/engine.sh. With
 * `--full` nothing is sampled (test/support/full.ts).
 */
const { values, positionals: globs } = parseArgs({
  allowPositionals: true,
  options: { tier: { type: 'string' }, full: { type: 'boolean' } },
});
const tier = tiers.find((name) => name === values.tier);
if (values.tier !== undefined && !tier) throw new Error(`There is no tier ${values.tier}: ${tiers.join(', ')}.`);

/**
 * What takes longest begins first, so that the last minutes are not one file's alone. Only the
 * duration depends on this list; the "Slowest files" at the end of a run are what belongs in it.
 */
const longest = [
  'test/console/features.test.ts',
  'test/documents/newcomer.system.test.ts',
  'test/console/hostile-apps.test.ts',
  'test/console/consent.test.ts',
  'test/console/paths.test.ts',
  'test/documents/programs.system.test.ts',
  'test/conformance/conformance.system.test.ts',
  'test/adversary/adversary.test.ts',
  'test/recovery/recovery.system.test.ts',
  'test/console/invitation.test.ts',
  'test/console/everything.test.ts',
  'test/relayed/turn.system.test.ts',
  'test/console/overview.test.ts',
  'test/standing-bridge.system.test.ts',
  'sdk/test/peer/werift-turn.test.ts',
  'test/cli-http.system.test.ts',
  'test/console/share.test.ts',
  'test/browser/middle.system.test.ts',
  'test/documents/commands.system.test.ts',
  'test/interop/matrix.test.ts',
  'test/interop/python-package.test.ts',
  'test/console/hostile.test.ts',
  'test/networks/networks.system.test.ts',
  'test/console/firefox.test.ts',
  'test/first-offer.system.test.ts',
  'test/cli-invitation.system.test.ts',
  'sdk/test/peer/contract.system.test.ts',
  'sdk/test/peer/contract-attack.system.test.ts',
  'test/middle/middle.system.test.ts',
  'test/hostile/link.system.test.ts',
  'test/reconnect.test.ts',
  'server/test/limits.test.ts',
  'server/test/jwks.test.ts',
  'server/test/rejection-log.test.ts',
  'sdk/test/link/resume.test.ts',
  'server/test/liveness.test.ts',
  'test/token-function.test.ts',
  'sdk/test/cli/pool.test.ts',
  'sdk/test/cli/bridge.test.ts',
  'sdk/test/peer/werift.test.ts',
  'server/test/rates.test.ts',
  'sdk/test/peer/werift-dtls.test.ts',
];
/** The lower, the earlier. */
function turnOf(file: string): number {
  const place = longest.indexOf(file);
  if (place >= 0) return place;
  return file.endsWith('.system.test.ts') ? longest.length : longest.length + 1;
}
const files = testFiles()
  .filter((file) => !file.startsWith('test/compose/') && (!tier || tierOf(file) === tier))
  .toSorted((one, other) => turnOf(one) - turnOf(other));

// A test is a process of its own, and starts relays and command lines from their sources: each
// would take the types out of the same files, and compile them, again.
process.env['NODE_COMPILE_CACHE'] ??= join(import.meta.dirname, '../node_modules/.cache/tests');
if (values.full) process.env['FULL_TESTS'] = '1';

const testTimeoutMs = 120_000;
// A test that hangs ends by the timeout above; what is silent for longer is a process that
// something keeps alive.
const silenceMs = testTimeoutMs + 30_000;

// Of a few files it would say nothing. The system tier has processes that end before they tell.
const coverage = tier === 'unit' && globs.length === 0;

const problems: string[] = [];
const abort = new AbortController();
const watchdog = setTimeout(() => {
  problems.push(`a file did not end: nothing happened for ${silenceMs / 1000} s`);
  abort.abort();
}, silenceMs);

const events = run({
  ...(globs.length > 0 ? { globPatterns: globs } : { files }),
  // Tests of the unit tier wait most of the time; those of the other start programs that do not.
  concurrency: tier === 'unit' ? Math.min(16, 4 * availableParallelism()) : 3,
  execArgv: [
    '--conditions=mcp-rendezvous-source',
    `--test-timeout=${testTimeoutMs}`,
    ...(coverage ? [`--import=${import.meta.resolve('./own-coverage.ts')}`] : []),
  ],
  signal: abort.signal,
  coverage,
  coverageIncludeGlobs: coveredGlobs,
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
events.on('test:coverage', ({ summary }) => problems.push(...problemsOfCoverage(summary.files)));
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
