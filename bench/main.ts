import { writeFile } from 'node:fs/promises';
import { argv, exit } from 'node:process';
import { parseArgs } from 'node:util';
import { lines } from './lib/report.ts';
import { measureRelays } from './relay/main.ts';
import { relayLines, relayPlot, relayTable, summary } from './relay/show.ts';

const usage = `Usage: npm run bench -- relay [--quick] [--json] [--plot file.svg]

--quick  against the floor only, within a minute
--json   one object instead of a table
--plot   writes the bars as SVG`;

const { positionals, values } = parseArgs({
  args: argv.slice(2),
  allowPositionals: true,
  options: { quick: { type: 'boolean' }, json: { type: 'boolean' }, plot: { type: 'string' } },
});
const [subject, ...more] = positionals;
if (subject !== 'relay' || more.length > 0) {
  console.error(usage);
  exit(2);
}
const rows = await measureRelays(values.quick ?? false);
if (values.json) console.log(JSON.stringify(summary(rows)));
else console.log(`${relayTable(rows)}\n\n${lines(relayLines(rows))}`);
if (values.plot !== undefined) await writeFile(values.plot, relayPlot(rows));
