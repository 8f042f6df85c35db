import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { eventually } from '../support/wait.ts';

const program = fileURLToPath(new URL('peer.py', import.meta.url));
/** Debian's, whose modules python3-aiortc and python3-websockets are. */
const python = '/usr/bin/python3';

/** What peer.py says. */
export type PeerEvent = { event: 'joined' | 'open' | 'exchange' | 'closed' | 'failed' } & Record<string, unknown>;

/** An MCP peer on aiortc, in a process of its own that ends with the test. */
export class PythonPeer {
  readonly #process: ChildProcess;
  readonly events: PeerEvent[] = [];
  #output = '';
  #errors = '';

  constructor(t: { after(release: () => Promise<void>): void }, args: string[], token = '') {
    this.#process = spawn(python, ['-B', program, ...args], {
      env: { PATH: process.env['PATH'], TOKEN: token },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#output + text).split('\n');
      this.#output = lines.pop() ?? '';
      this.events.push(...lines.map((line) => JSON.parse(line) as PeerEvent));
    });
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#errors += text));
    t.after(() => this.stop());
  }

  /** The first event of that name; rejects when the process ends without it. */
  async event(name: PeerEvent['event']): Promise<PeerEvent> {
    const found = () => this.events.find(({ event }) => event === name);
    await eventually(
      () => {
        if (found()) return true;
        if (this.#process.exitCode === null) return false;
        throw new Error(`the Python peer ended without '${name}': ${JSON.stringify(this.events)}\n${this.#errors}`);
      },
      30_000,
      `the Python peer says '${name}'`,
    );
    return found()!;
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGKILL');
    await once(this.#process, 'close');
  }
}
