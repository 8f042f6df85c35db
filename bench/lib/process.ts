import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';
import { eventually } from '../../test/support/wait.ts';
import type { Question, Reading } from './probe.ts';

const probe = fileURLToPath(new URL('probe.ts', import.meta.url));

/** How long a server has to listen, in milliseconds: it starts on a machine that may be busy. */
const startMs = 60_000;

/** A server of its own process on loopback, with the probe in it. What it prints goes nowhere, which costs it what it costs. */
export class MeasuredProcess {
  readonly port: number;
  readonly #child: ChildProcess;

  private constructor(port: number, child: ChildProcess) {
    this.port = port;
    this.#child = child;
  }

  /**
   * Resolves when the port takes connections.
   *
   * @param program.args of the program; the environment is `env` and PATH, nothing else
   */
  static async start(program: {
    file: string;
    port: number;
    args?: string[];
    env?: Record<string, string>;
  }): Promise<MeasuredProcess> {
    const { file, port, args = [], env = {} } = program;
    const flags = ['--expose-gc', '--conditions=mcp-rendezvous-source', `--import=${probe}`, ...profiling()];
    const child = spawn(process.execPath, [...flags, file, ...args], {
      env: { PATH: process.env['PATH'], NODE_ENV: 'production', ...env },
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
