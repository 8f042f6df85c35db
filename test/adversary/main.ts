import { argv, stderr, stdout } from 'node:process';
import { parseArgs } from 'node:util';
import { failure, line, markdown } from './table.ts';
import { type EngineName, full, type Outcome, short, weather } from './trial.ts';

/**
 * Sends one session after the other through a storm of its own, and prints what it survived. Ends with 1 when one did not.
 *
 * Usage: node test/adversary/main.ts [--seeds 20] [--first-seed 1] [--engine werift|node-datachannel|chromium] [--short] [--markdown]
 * With --markdown the standard output is one table. Needs Linux and root.
 */
const { values } = parseArgs({
  args: argv.slice(2),
  options: {
    seeds: { type: 'string', default: '20' },
    'first-seed': { type: 'string', default: '1' },
    engine: { type: 'string', default: 'werift' },
    short: { type: 'boolean', default: false },
    markdown: { type: 'boolean', default: false },
  },
});
const engines: readonly string[] = ['werift', 'node-datachannel', 'chromium'] satisfies EngineName[];
if (!engines.includes(values.engine)) {
  console.error(`There is no engine ${values.engine}; there are ${engines.join(', ')}.`);
  process.exit(2);
}

const progress = values.markdown ? stderr : stdout;
const outcomes: Outcome[] = [];
const first = Number(values['first-seed']);
for (let seed = first; seed < first + Number(values.seeds); seed++) {
  try {
    const outcome = await weather(values.engine as EngineName, seed, values.short ? short : full);
    outcomes.push(outcome);
    progress.write(`${outcome.problems.length === 0 ? line(outcome) : failure(outcome)}\n`);
    if (outcome.problems.length > 0) process.exitCode = 1;
  } catch (error) {
    console.error(`seed ${seed} could not be run:`, error);
    process.exitCode = 1;
  }
}
if (values.markdown && outcomes.length > 0) stdout.write(`${markdown(outcomes)}\n`);
