import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { compileCache } from '../../../../test/support/compile-cache.ts';
import type { Machine } from '../../../../test/support/machines.ts';
import { eventually } from '../../../../test/support/wait.ts';
import type { JsonRpcMessage } from '../../../src/link/message.ts';

const path = (file: string) => fileURLToPath(new URL(file, import.meta.url));

/** Where npx finds the packages that tests use. */
export const root = path('../../../..');
/** How this process runs sources. */
export const fromSource = ['--conditions=mcp-rendezvous-source'];
export const mainFile = path('../../../src/cli/main.ts');
/** The command of the fixture server. */
export const fixture = (...modes: string[]): [string, ...string[]] => [process.execPath, path('./server.ts'), ...modes];

/** Resolves when the condition holds; rejects after the deadline, naming `what`. */
export const until = (what: string, condition: () => boolean | Promise<boolean>, ms = 60_000) =>
  eventually(condition, ms, what);

/** Whether a process runs. A zombie does not, of which Linux tells. */
export function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return process.platform !== 'linux' || !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** The command line as a process of its own. It is ended with the test. */
export class Cli {
  readonly process: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly messages: JsonRpcMessage[] = [];
  /** Lines of stdout that are not JSON. */
  readonly noise: string[] = [];
  stderr = '';
  readonly #closed: Promise<unknown>;
  #id = 0;

  /** @param machine on which it runs. @default this one */
  constructor(
    t: Pick<TestContext, 'after'>,
    args: readonly string[],
    env: Record<string, string> = {},
    machine?: Machine,
  ) {
    const { PATH = '', HOME = '' } = process.env;
    const command = [process.execPath, ...fromSource, mainFile, ...args] as const;
    const [program, ...rest] = machine?.command(...command) ?? command;
    const child = spawn(program, rest, {
      cwd: root,
      env: { PATH, HOME, ...compileCache, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.process = child;
    this.#closed = once(child, 'close');
    child.stdin.on('error', () => {}); // it may leave before it has read everything
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    createInterface({ input: child.stdout }).on('line', (line) => {
      try {
        this.messages.push(JSON.parse(line) as JsonRpcMessage);
      } catch {
        this.noise.push(line);
      }
    });
    t.after(async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
      await this.#closed;
      clearTimeout(timer);
    });
  }

  /** The exit code, or the signal's name. */
  async exit(): Promise<number | string> {
    await this.#closed;
    return this.process.exitCode ?? this.process.signalCode ?? 'none';
  }

  /** Resolves when stderr says it. */
  async says(what: string | RegExp, ms?: number): Promise<void> {
    const said = () => (typeof what === 'string' ? this.stderr.includes(what) : what.test(this.stderr));
    await until(`stderr says ${what}, and not just ${JSON.stringify(this.stderr)}`, said, ms);
  }

  send(message: object): void {
    this.process.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  }

  /** Sends a request; resolves with the result or the error. */
  async request(method: string, params?: object, ms?: number): Promise<Answer> {
    const id = (this.#id += 1);
    this.send({ id, method, ...(params ? { params } : {}) });
    return await this.answer(id, ms);
  }

  async answer(id: number | string, ms?: number): Promise<Answer> {
    const find = () => this.messages.find((message) => 'id' in message && message.id === id && !('method' in message));
    await until(`an answer to ${id}; stderr: ${this.stderr}`, () => find() !== undefined, ms);
    return find() as Answer;
  }
}

export interface Answer {
  id: number | string;
  result?: Record<string, unknown>;
  error?: { code: number; message: string; data?: { code: string; retryable: boolean; detail?: string } };
}
