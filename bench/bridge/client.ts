import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { within } from '../../test/support/wait.ts';

/** A command for `spawn`, with the variables that it needs besides PATH. */
export interface Command {
  args: readonly string[];
  env?: Record<string, string>;
}

const answerMs = 60_000;
const newline = 0x0a;

/** Starts Node with these arguments; its output is the caller's to read. */
export const start = ({ args, env = {} }: Command): ChildProcessByStdio<Writable, Readable, Readable> =>
  spawn(process.execPath, [...args], {
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });

export async function stop(child: ReturnType<typeof start>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await exited;
  clearTimeout(timer);
}

/** An MCP client of a stdio command, such as the applications that start `connect`. */
export class StdioClient {
  readonly process: ReturnType<typeof start>;
  stderr = '';
  readonly #waiting = new Map<number, (answer: { error?: unknown }) => void>();
  #parts: Buffer[] = [];
  #id = 0;

  constructor(command: Command) {
    this.process = start(command);
    this.process.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.process.stdin.on('error', () => {}); // the answer that does not come says it
    this.process.stdout.on('data', (chunk: Buffer) => this.#read(chunk));
  }

  /** The first thing that a user waits for: the list of tools. */
  async begin(): Promise<void> {
    const clientInfo = { name: 'bench', version: '1' };
    await this.ask('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo });
    this.#write({ method: 'notifications/initialized' });
    await this.ask('tools/list', {});
  }

  async call(name: 'echo' | 'large'): Promise<void> {
    await this.ask('tools/call', { name, arguments: { text: 'a small text' } });
  }

  async ask(method: string, params: object): Promise<void> {
    const id = (this.#id += 1);
    const answered = Promise.withResolvers<{ error?: unknown }>();
    this.#waiting.set(id, answered.resolve);
    this.#write({ id, method, params });
    const { error } = await within(answered.promise, `an answer to ${method}; stderr: ${this.stderr}`, answerMs);
    if (error) throw new Error(`${method}: ${JSON.stringify(error)}`);
  }

  async close(): Promise<void> {
    this.process.stdin.end();
    await stop(this.process);
  }

  #write(message: object): void {
    this.process.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  }

  #read(chunk: Buffer): void {
    let from = 0;
    for (let end = chunk.indexOf(newline); end >= 0; end = chunk.indexOf(newline, from)) {
      const line = Buffer.concat([...this.#parts, chunk.subarray(from, end)]).toString();
      this.#parts = [];
      from = end + 1;
      const answer = JSON.parse(line) as { id: number; error?: unknown };
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    }
    this.#parts.push(chunk.subarray(from));
  }
}
