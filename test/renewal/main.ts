import { argv, stdout } from 'node:process';
import { parseArgs } from 'node:util';
import { renewal } from './renewal.ts';

/**
 * Uses sessions of `expose` and `connect` whose tokens are short, over direct and relayed paths,
 * and prints what became of them. Ends with 1 when one of them ended or a call had no answer.
 *
 * Usage: node test/renewal/main.ts [--minutes 90] [--token-seconds 300] [--pause-seconds 5]. Needs
 * Linux and root.
 */
const { values } = parseArgs({
  args: argv.slice(2),
  options: {
    minutes: { type: 'string', default: '90' },
    'token-seconds': { type: 'string', default: '300' },
    'pause-seconds': { type: 'string', default: '5' },
  },
});

await using stack = new AsyncDisposableStack();
const context = { after: (act: () => unknown) => stack.defer(async () => void (await act())) };
const plan = {
  seconds: Number(values.minutes) * 60,
  tokenSeconds: Number(values['token-seconds']),
  pauseSeconds: Number(values['pause-seconds']),
};
const outcomes = await renewal(context, plan, (line) => stdout.write(`${new Date().toISOString()} ${line}\n`));

stdout.write('\n| session | calls | renewals | recoveries | slowest answer | path | problems |\n');
stdout.write('| --- | ---: | ---: | ---: | ---: | --- | ---: |\n');
for (const { name, calls, slowest, renewals, recoveries, paths, problems } of outcomes) {
  const cells = [name, calls, renewals, recoveries, `${Math.round(slowest)} ms`, paths.join(', '), problems.length];
  stdout.write(`| ${cells.join(' | ')} |\n`);
  for (const problem of problems) stdout.write(`${problem}\n`);
  if (problems.length > 0) process.exitCode = 1;
}
