import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { eventually } from '../support/wait.ts';

/** What a program says in a line. */
export type LineEvent<Name extends string = string> = { event: Name } & Record<string, unknown>;

/** What an MCP peer that makes the whole exchange by itself says. */
export type PeerEvent = 'joined' | 'open' | 'exchange' | 'closed' | 'failed';

/**
 * A program in another language that says in lines of JSON what happens, in a process of its own
 * that ends with the test.
 */
export class LineProcess<Name extends string = string> {
  readonly events: LineEvent<Name>[] = [];
  readonly #language: string;
  readonly #process: ChildProcess;
  #output = '';
  #errors = '';

  constructor(
    t: { after(release: () => Promise<void>): void },
    language: string,
    [program, ...args]: [string, ...string[]],
    env: Record<string, string>,
  ) {
    this.#language = language;
    this.#process = spawn(program, args, {
      env: { PATH: process.env['PATH'], ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#process.stdin?.on('error', () => {}); // it has ended, which event() says
    this.#process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#output + text).split('\n');
      this.#output = lines.pop() ?? '';
      this.events.push(...lines.map((line) => JSON.parse(line) as LineEvent<Name>));
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
    matches: (event: LineEvent<Name>) => boolean = () => true,
    what = `the ${this.#language} peer says '${name}'`,
  ): Promise<LineEvent<Name>> {
    const found = () => this.events.find((one) => one.event === name && matches(one));
    await eventually(
      () => {
        if (found()) return true;
        if (this.#process.exitCode === null) return false;
        const told = JSON.stringify(this.events);
        throw new Error(`the ${this.#language} peer ended without '${name}': ${told}\n${this.#errors}`);
      },
      60_000,
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
