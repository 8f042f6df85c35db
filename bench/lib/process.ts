import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from '../../test/support/wait.ts';
import type { Question, Reading } from './probe.ts';

const probe = fileURLToPath(new URL('probe.ts', import.meta.url));

/**
 * Sources whose types Node has taken out, for all processes of this run. Programs are measured as
 * they are installed, which is without types: the compiler that takes them out grows its memory,
 * after which V8 looks at every access to a buffer twice, and taking the mask from a frame takes
 * six times as long.
 */
const compiled = mkdtempSync(join(tmpdir(), 'bench-compiled-'));
process.once('exit', () => rmSync(compiled, { recursive: true, force: true }));
const compiledFiles = new Set<string>();

/** How long a server has to listen, in milliseconds: it starts on a machine that may be busy. */
const startMs = 60_000;

/** A server, and the port that it listens on. */
interface Program {
  file: string;
  port: number;
  args?: string[];
  /** Its environment, beside PATH and what Node needs here. */
  env?: Record<string, string>;
}

/**
 * A server of its own process on loopback, with the probe in it. What it prints goes nowhere, which
 * costs it what it costs.
 */
export class MeasuredProcess {
  readonly port: number;
  readonly #child: ChildProcess;

  private constructor(port: number, child: ChildProcess) {
    this.port = port;
    this.#child = child;
  }

  /** Resolves when the port takes connections. */
  static async start(program: Program): Promise<MeasuredProcess> {
    if (!compiledFiles.has(program.file)) {
      compiledFiles.add(program.file);
      const first = await MeasuredProcess.#spawn(program);
      await first.read('compiled');
      await first.stop();
    }
    return await MeasuredProcess.#spawn(program);
  }

  static async #spawn({ file, port, args = [], env = {} }: Program): Promise<MeasuredProcess> {
    const flags = ['--expose-gc', '--conditions=mcp-rendezvous-source', `--import=${probe}`, ...profiling()];
    const child = spawn(process.execPath, [...flags, file, ...args], {
      env: { PATH: process.env['PATH'], NODE_ENV: 'production', NODE_COMPILE_CACHE: compiled, ...env },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const running = new MeasuredProcess(port, child);
    await eventually(
      () => {
        if (child.exitCode !== null) throw new Error(`${file} did not start`);
        return listens(port);
      },
      startMs,
      `${file} listens`,
    );
    return running;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async read(question: Question = 'cpu'): Promise<Reading> {
    const answer = once(this.#child, 'message');
    this.#child.send(question);
    const [reading] = (await answer) as [Reading];
    return reading;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    // One that writes a profile does so when it ends by itself.
    this.#child.kill(profiling().length > 0 ? 'SIGTERM' : 'SIGKILL');
    await once(this.#child, 'exit');
  }
}

/** `BENCH_PROFILE=<directory>`: every measured process leaves a CPU profile there. */
function profiling(): string[] {
  const directory = process.env['BENCH_PROFILE'];
  return directory === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${directory}`];
}

function listens(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(port, '127.0.0.1');
  socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
  return promise.finally(() => socket.destroy());
}
