import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { eventually } from '../support/wait.ts';

/** Debian's, whose modules python3-aiortc and python3-websockets are. */
const python = '/usr/bin/python3';

/** What a program says in a line. */
export type PythonEvent<Name extends string = string> = { event: Name } & Record<string, unknown>;

/** A program of this folder that says in lines of JSON what happens, in a process of its own that ends with the test. */
export class PythonProcess<Name extends string = string> {
  readonly events: PythonEvent<Name>[] = [];
  readonly #process: ChildProcess;
  #output = '';
  #errors = '';

  constructor(
    t: { after(release: () => Promise<void>): void },
    program: string,
    args: string[] = [],
    env: Record<string, string> = {},
  ) {
    const file = fileURLToPath(new URL(program, import.meta.url));
    this.#process = spawn(python, ['-B', file, ...args], {
      env: { PATH: process.env['PATH'], ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#process.stdin?.on('error', () => {}); // it has ended, which event() says
    this.#process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#output + text).split('\n');
      this.#output = lines.pop() ?? '';
      this.events.push(...lines.map((line) => JSON.parse(line) as PythonEvent<Name>));
    });
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#errors += text));
    t.after(() => this.stop());
  }

  /** A line of JSON on its stdin. */
  tell(command: Record<string, unknown>): void {
    this.#process.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  /** The first event of that name that matches; rejects when the process ends without it. */
  async event(
    name: Name,
    matches: (event: PythonEvent<Name>) => boolean = () => true,
    what = `the Python peer says '${name}'`,
  ): Promise<PythonEvent<Name>> {
    const found = () => this.events.find((one) => one.event === name && matches(one));
    await eventually(
      () => {
        if (found()) return true;
        if (this.#process.exitCode === null) return false;
        throw new Error(`the Python peer ended without '${name}': ${JSON.stringify(this.events)}\n${this.#errors}`);
      },
      30_000,
      what,
    );
    return found()!;
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill('SIGKILL');
    await once(this.#process, 'close');
  }
}

/** An MCP peer on aiortc. */
export class PythonPeer extends PythonProcess<'joined' | 'open' | 'exchange' | 'closed' | 'failed'> {
  constructor(t: { after(release: () => Promise<void>): void }, args: string[], token = '') {
    super(t, 'peer.py', args, { TOKEN: token });
  }
}
