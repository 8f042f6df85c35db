import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

const require = createRequire(import.meta.url);
const main = join(dirname(require.resolve('@modelcontextprotocol/conformance/package.json')), 'dist/index.js');

/** What a run of MCP's conformance suite came to. */
export interface Run {
  exitCode: number | null;
  output: string;
  /** Of a run against a server: checks that passed and failed, by scenario. */
  scenarios: Map<string, { passed: number; failed: number }>;
  /**
   * Scenarios that the revision does not ask for: extensions, later additions, those that are
   * pending.
   */
  optional: Set<string>;
}

/** Runs the suite's command line in a directory of its own. */
export async function runSuite(args: readonly string[], env: Record<string, string> = {}): Promise<Run> {
  const directory = mkdtempSync(join(tmpdir(), 'conformance-'));
  try {
    const child = spawn(process.execPath, [main, ...args, '-o', directory], {
      cwd: directory,
      env: { PATH: process.env['PATH'], ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
    const [exitCode] = (await once(child, 'close')) as [number | null];
    const counts = [...output.matchAll(/^[✓✗] ([\w/-]+): (\d+) passed, (\d+) failed/gm)];
    return {
      exitCode,
      output,
      scenarios: new Map(counts.map(([, name = '', ...n]) => [name, { passed: Number(n[0]), failed: Number(n[1]) }])),
      optional: new Set([...output.matchAll(/^ {2}[✓✗] ([\w/-]+) \(/gm)].map(([, name = '']) => name)),
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
