import { spawn } from 'node:child_process';
import { argv, execPath } from 'node:process';

/**
 * Runs the contract, recovery and interop suites in each network shape of scripts/network.sh, one after the other.
 *
 * Usage: node scripts/shapes.ts [--short] [shape…]; `--short` runs the contracts of engines and transports only.
 */
const shapes = ['loopback', 'ipv4', 'dual', 'many'];
const short = ['sdk/test/peer/contract.test.ts', 'sdk/test/transport-contract.test.ts'];
/** Without test/interop/runtimes.test.ts, which gets other runtimes from npm: these networks lead nowhere. */
const suites = [
  'sdk/test/peer/*.test.ts',
  'sdk/test/transport-contract.test.ts',
  'test/recovery/*.test.ts',
  'test/interop/!(runtimes|matrix).test.ts',
];
/** Everybody with everybody, browsers included, which open no peer connection without a default route. */
const browsers = ['test/interop/matrix.test.ts', 'test/browser/restart.test.ts'];

const args = argv.slice(2);
const wanted = args.filter((argument) => argument !== '--short');
const unknown = wanted.filter((shape) => !shapes.includes(shape));
if (unknown.length > 0) throw new Error(`There is no network shape ${unknown.join(', ')}: ${shapes.join(', ')}.`);

const filesOf = (shape: string): string[] => {
  if (args.includes('--short')) return short;
  return shape === 'loopback' ? suites : [...suites, ...browsers];
};

const red: string[] = [];
for (const shape of wanted.length > 0 ? wanted : shapes) {
  console.log(`\nNetwork shape: ${shape}\n`);
  const command = ['scripts/network.sh', '--shape', shape, execPath, 'scripts/test.ts', ...filesOf(shape)];
  const code = await new Promise((resolve, reject) => {
    spawn('sh', command, { stdio: 'inherit' }).on('error', reject).on('close', resolve);
  });
  if (code !== 0) red.push(shape);
}
if (red.length > 0) {
  process.exitCode = 1;
  console.error(`\nRed in these network shapes: ${red.join(', ')}.`);
}
