import { execFile } from 'node:child_process';
import { argv, execPath, stdout } from 'node:process';

/**
 * Runs the contract, recovery and interop suites in each network shape of scripts/network.sh, one
 * after the other.
 *
 * Usage: node scripts/shapes.ts [--short] [shape…]; `--short` runs only the contract of engines, in
 * all shapes at once but the one that the suite of the system tier has.
 */
const shapes = ['loopback', 'ipv4', 'dual', 'many'];
/**
 * Without test/interop/runtimes.system.test.ts, which gets other runtimes from npm: these networks
 * lead nowhere.
 */
const suites = [
  'sdk/test/peer/*.test.ts',
  'sdk/test/transport-contract.system.test.ts',
  'test/recovery/*.test.ts',
  'test/interop/{document,strangers}.test.ts',
];
/** Browsers and aiortc open no peer connection over loopback. */
const beyondLoopback = ['test/interop/{matrix,python}.test.ts', 'test/browser/restart.test.ts'];

const args = argv.slice(2);
const short = args.includes('--short');
const named = args.filter((argument) => argument !== '--short');
const unknown = named.filter((shape) => !shapes.includes(shape));
if (unknown.length > 0) throw new Error(`There is no network shape ${unknown.join(', ')}: ${shapes.join(', ')}.`);

const filesOf = (shape: string): string[] => {
  if (short) return ['sdk/test/peer/contract.system.test.ts'];
  return shape === 'loopback' ? suites : [...suites, ...beyondLoopback];
};

const red: string[] = [];
async function runIn(shape: string): Promise<void> {
  const command = ['scripts/network.sh', '--shape', shape, execPath, 'scripts/test.ts', '--full', ...filesOf(shape)];
  await new Promise<void>((resolve) => {
    execFile('sh', command, { maxBuffer: 2 ** 26 }, (error, output, problems) => {
      stdout.write(`\nNetwork shape: ${shape}\n\n${output}${problems}`);
      if (error) red.push(shape);
      resolve();
    });
  });
}

// The short suite has run in the machine's own network already, which is like this one.
const everywhere = short ? shapes.filter((shape) => shape !== 'ipv4') : shapes;
const wanted = named.length > 0 ? named : everywhere;
if (short) await Promise.all(wanted.map(runIn));
else for (const shape of wanted) await runIn(shape);
if (red.length > 0) {
  process.exitCode = 1;
  console.error(`\nRed in these network shapes: ${red.join(', ')}.`);
}
