import { argv, stderr, stdout } from 'node:process';
import { allDropped } from './crowd.ts';
import { kill, rollingRestart } from './instance-faults.ts';
import { cableCut, longPartition, partition, redisLost, redisStalls } from './redis-faults.ts';
import { markdown, type Report } from './report.ts';
import { failover, failoverFromHung, slotsMove } from './topology-faults.ts';
import { full, type Scale, short } from './stage.ts';

/**
 * Runs the faults and prints what was measured. Ends with 1 when a promise was not kept.
 *
 * Usage: node test/faults/main.ts [--short] [--markdown] [name…]; without names all of them, in
 * full. With --markdown the standard output is one table.
 */
const faults: Record<string, (scale: Scale) => Promise<Report>> = {
  kill,
  redisLost,
  redisStalls,
  partition,
  longPartition,
  cableCut,
  rollingRestart,
  allDropped,
  failover,
  failoverFromHung,
  slotsMove,
};

const flags = new Set(argv.slice(2).filter((argument) => argument.startsWith('--')));
const names = argv.slice(2).filter((argument) => !argument.startsWith('--'));
const unknown = names.filter((name) => !(name in faults));
if (unknown.length > 0) {
  console.error(`There is no fault ${unknown.join(', ')}; there are ${Object.keys(faults).join(', ')}.`);
  process.exit(2);
}

const reports: Report[] = [];
for (const [name, fault] of Object.entries(faults)) {
  if (names.length > 0 && !names.includes(name)) continue;
  try {
    const report = await fault(flags.has('--short') ? short : full);
    reports.push(report);
    (flags.has('--markdown') ? stderr : stdout).write(`${report.fault}\n${report.toString()}\n\n`);
    if (report.rows.some(({ held }) => !held)) process.exitCode = 1;
  } catch (error) {
    console.error(`${name} could not be measured:`, error);
    process.exitCode = 1;
  }
}
if (flags.has('--markdown')) stdout.write(`${markdown(reports)}\n`);
