import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { compileCache } from './compile-cache.ts';
import type { Machine } from './machines.ts';
import { eventually } from './wait.ts';

const main = fileURLToPath(new URL('../../server/src/main.ts', import.meta.url));

/** The lowest Node that is supported, as `engines` in package.json says. */
export const lowestNode = fileURLToPath(new URL('../../node_modules/node22/bin/node', import.meta.url));

/** The key that relays of tests verify room tokens with, unless told otherwise. */
export const testSecret = 'a secret for tests that is long enough';

/** A real relay process on a free port of 127.0.0.1. */
export class RelayProcess {
  readonly #process: ChildProcess;
  stdout = '';
  stderr = '';
  /** `http://127.0.0.1:<port>`; set once it listens. */
  url = '';

  private constructor(env: Record<string, string>, node: string, machine?: Machine) {
    const line = [node, '--conditions=mcp-rendezvous-source', main] as const;
    const [program, ...args] = machine?.command(...line) ?? line;
    this.#process = spawn(program, args, {
      env: { PATH: process.env['PATH'], ...compileCache, RELAY_PORT: '0', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
  }

  /**
   * Resolves when it listens. `env` is its whole environment but for PATH; unless given,
   * RELAY_SECRET is `testSecret` and DRAIN_WINDOW_MS is 0: it ends at once.
   *
   * @param node the executable that runs it
   * @param machine on which it runs. @default this one
   */
  static async start(
    env: Record<string, string> = {},
    node = process.execPath,
    machine?: Machine,
  ): Promise<RelayProcess> {
    const relay = new RelayProcess({ RELAY_SECRET: testSecret, DRAIN_WINDOW_MS: '0', ...env }, node, machine);
    await eventually(() => {
      if (relay.exited) throw new Error(`the relay did not start:\n${relay.stdout}${relay.stderr}`);
      relay.url = /listening at (http:[^"\s]+)/.exec(relay.stdout + relay.stderr)?.[1] ?? '';
      return relay.url !== '';
    }, 30_000);
    return relay;
  }

  /** Runs one that is expected to end by itself. */
  static async run(env: Record<string, string>): Promise<RelayProcess> {
    const relay = new RelayProcess(env, process.execPath);
    await once(relay.#process, 'close');
    return relay;
  }

  /** `ws://127.0.0.1:<port>`: the `relay` option of the SDK. */
  get ws(): string {
    return this.url.replace('http', 'ws');
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get exitCode(): number | null {
    return this.#process.exitCode;
  }

  get exited(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  /**
   * Asks it to stop (SIGTERM), or ends it as a crash would (SIGKILL); resolves when it has ended.
   */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    if (this.exited) return;
    this.#process.kill(signal);
    await once(this.#process, 'close');
  }
}
