import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Line } from '../lib/report.ts';

/** What a start costs, beside a Node that does nothing, in the same run. */
export interface Start {
  name: string;
  /** The fastest, in milliseconds from spawning to the end. */
  wallMs: number;
  /** The least CPU time, user's and system's, in milliseconds. */
  cpuMs: number;
  /** As multiples of bare Node's. */
  wallVsBare: number;
  cpuVsBare: number;
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const importing = "import 'mcp-rendezvous'";
const helping = 'mcp-rendezvous --help';
const programs = {
  'node --eval 0': ['--eval', '0'],
  [importing]: ['--input-type=module', '--eval', "import 'mcp-rendezvous'"],
  [helping]: ['sdk/bin/mcp-rendezvous.js', '--help'],
};

/**
 * Runs the built packages, as they are published. Whatever else the machine does makes a start
 * slower and never faster, so the least of several is the one that counts.
 */
export async function measureStarts(runs: number): Promise<Start[]> {
  const costs = new Map<string, { wallMs: number; cpuMs: number }[]>();
  // By turns, so that each meets the same neighbours.
  for (let run = 0; run < runs; run++) {
    for (const [name, args] of Object.entries(programs))
      costs.set(name, [...(costs.get(name) ?? []), await start(args)]);
  }
  const least = [...costs].map(([name, all]) => ({
    name,
    wallMs: Math.min(...all.map(({ wallMs }) => wallMs)),
    cpuMs: Math.min(...all.map(({ cpuMs }) => cpuMs)),
  }));
  const [bare] = least;
  return least.map((cost) => ({
    ...cost,
    wallVsBare: cost.wallMs / (bare?.wallMs ?? NaN),
    cpuVsBare: cost.cpuMs / (bare?.cpuMs ?? NaN),
  }));
}

/** Says at its end what the process has used. */
const probe = `data:text/javascript,${encodeURIComponent(
  "process.once('exit', () => process._rawDebug(JSON.stringify(process.cpuUsage())));",
)}`;

async function start(args: readonly string[]): Promise<{ wallMs: number; cpuMs: number }> {
  const began = performance.now();
  const child = spawn(process.execPath, [...args], { cwd: root, stdio: 'ignore' });
  await once(child, 'exit');
  const wallMs = performance.now() - began;
  const measured = spawn(process.execPath, ['--import', probe, ...args], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  measured.stderr.on('data', (text: Buffer) => (said += text.toString()));
  await once(measured, 'close');
  const { user, system } = JSON.parse(said) as NodeJS.CpuUsage;
  return { wallMs, cpuMs: (user + system) / 1000 };
}

/** In milliseconds. Bare Node's start is part of each. */
const budgets: Record<string, number> = { [importing]: 60, [helping]: 120 };

export const startLines = (starts: readonly Start[]): Line[] =>
  starts.flatMap(({ name, wallMs, cpuMs, wallVsBare }): Line[] => {
    const atMost = budgets[name];
    return [
      { what: `start of \`${name}\`, ms`, measured: wallMs, ...(atMost !== undefined && { atMost }) },
      { what: '… × bare Node', measured: wallVsBare },
      { what: '… CPU, ms', measured: cpuMs },
    ];
  });
