import { argv, stderr, stdout } from 'node:process';
import { parseArgs } from 'node:util';
import { type Fault, faults, type Manner } from './storm.ts';
import { line, markdown, story } from './table.ts';
import { type EngineName, type Outcome, scales, weather } from './trial.ts';

/**
 * Sends one session after the other through a storm of its own, and prints what it survived. Ends
 * with 1 when one did not, and when messages did not pass for more than 4 s while there was a way.
 *
 * Usage: node test/adversary/main.ts [--seeds 20] [--first-seed 1] [--engine
 * werift|node-datachannel|chromium] [--apart] [--short] [--markdown] [--events] [fault…]; without
 * faults all of them. With --apart a fault comes when the session has got over the one before. With
 * --markdown the standard output is one table; --events prints what happened, also
 * when all held. Needs Linux and root.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  args: argv.slice(2),
  options: {
    seeds: { type: 'string', default: '20' },
    'first-seed': { type: 'string', default: '1' },
    engine: { type: 'string', default: 'werift' },
    apart: { type: 'boolean', default: false },
    short: { type: 'boolean', default: false },
    events: { type: 'boolean', default: false },
    markdown: { type: 'boolean', default: false },
  },
});
const engines: readonly string[] = ['werift', 'node-datachannel', 'chromium'] satisfies EngineName[];
if (!engines.includes(values.engine)) {
  console.error(`There is no engine ${values.engine}; there are ${engines.join(', ')}.`);
  process.exit(2);
}

const unknown = positionals.filter((fault) => !faults.includes(fault as Fault));
if (unknown.length > 0) {
  console.error(`There is no fault ${unknown.join(', ')}; there are ${faults.join(', ')}.`);
  process.exit(2);
}

// With what is done on exit.
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1));
const only = positionals.length > 0 ? (positionals as Fault[]) : faults;
const progress = values.markdown ? stderr : stdout;
const outcomes: Outcome[] = [];
const manner: Manner = values.apart ? 'apart' : 'storm';
const scale = scales[manner][values.short ? 'short' : 'full'];
const first = Number(values['first-seed']);
for (let seed = first; seed < first + Number(values.seeds); seed++) {
  try {
    const outcome = await weather({ engine: values.engine as EngineName, seed, manner, scale, only });
    outcomes.push(outcome);
    const fine = outcome.problems.length === 0 && outcome.slow.length === 0;
    progress.write(`${fine && !values.events ? line(outcome) : story(outcome)}\n`);
    if (!fine) process.exitCode = 1;
  } catch (error) {
    console.error(`seed ${seed} could not be run:`, error);
    process.exitCode = 1;
  }
}
if (values.markdown && outcomes.length > 0) stdout.write(`${markdown(outcomes)}\n`);
