import { PassThrough } from 'node:stream';
import type { TestContext } from 'node:test';
import { createInterface } from 'node:readline';
import { Bridge, type BridgeOptions, type Ending } from '../../../src/cli/bridge.ts';
import { Child } from '../../../src/cli/child.ts';
import { Stdio } from '../../../src/cli/stdio.ts';
import type { Answer } from './process.ts';
import { until } from './process.ts';

/** A client's pipes, bridged to a process. */
export class Session {
  readonly input = new PassThrough();
  readonly output = new PassThrough();
  readonly child: Child;
  readonly bridge: Bridge;
  readonly messages: (Answer & { method?: string })[] = [];
  /** What the process wrote beside MCP. */
  readonly logged: string[] = [];
  readonly errors: Error[] = [];
  #id = 0;

  constructor(t: TestContext, [command, ...args]: [string, ...string[]], options: Partial<BridgeOptions> = {}) {
    this.child = new Child({ command, args, env: process.env, onoutput: (line) => this.logged.push(line) });
    createInterface({ input: this.output })
      .on('line', (line) => this.messages.push(JSON.parse(line) as Answer))
      .on('error', () => {}); // a test breaks the pipe
    const onerror = (error: Error) => this.errors.push(error);
    this.bridge = new Bridge(new Stdio(this.input, this.output), this.child, { onerror, ...options });
    t.after(() => this.bridge.close(new Error('the test is over')));
  }

  send(message: object): void {
    this.input.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
  }

  /** Sends a request and resolves with its answer. */
  async request(method: string, params?: object): Promise<Answer> {
    const id = (this.#id += 1);
    this.send({ id, method, ...(params ? { params } : {}) });
    return await this.answer(id);
  }

  async answer(id: number | string): Promise<Answer> {
    const find = () => this.messages.find((message) => message.id === id && message.method === undefined);
    await until(`an answer to ${id}`, () => find() !== undefined);
    return find()!;
  }

  async ended(): Promise<Ending> {
    return await this.bridge.ended;
  }
}
