import { argv, exit } from 'node:process';
import { parseArgs } from 'node:util';
import { quick } from './relay/main.ts';

const usage = 'Usage: npm run bench -- relay [--quick] [--json]';

const { positionals, values } = parseArgs({
  args: argv.slice(2),
  allowPositionals: true,
  options: { quick: { type: 'boolean' }, json: { type: 'boolean' } },
});
if (positionals.length !== 1 || positionals[0] !== 'relay') {
  console.error(usage);
  exit(2);
}
const result = await quick();
console.log(values.json ? JSON.stringify(result) : JSON.stringify(result, null, 2));
