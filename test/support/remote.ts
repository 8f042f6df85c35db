import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

/** The methods that are called in another process: arguments and results are plain data. */
export type Methods<T> = { [M in keyof T]: (...args: never[]) => Promise<unknown> };

/** An object of another process or of a page. */
export interface Remote<T extends Methods<T>> {
  call<M extends keyof T & string>(method: M, ...args: Parameters<T[M]>): Promise<Awaited<ReturnType<T[M]>>>;
  /** What its process said that nobody expected. */
  readonly output: string;
  /** Ends its process. */
  stop(): Promise<void>;
}

/** What a call looks like between processes. */
interface Command {
  id: number;
  method: string;
  args: unknown[];
}
type Reply = { id: number } & ({ result: unknown } | { error: string });

/** In the child: carries out the calls of the process that started this one, and ends with it. */
export function serveParent<T extends Methods<T>>(target: T): void {
  const answer = async ({ id, method, args }: Command): Promise<void> => {
    // A command's arguments are those of its method: `call` has checked both.
    const run = target[method as keyof T] as (...args: never[]) => Promise<unknown>;
    try {
      process.send?.({ id, result: await run(...(args as never[])) });
    } catch (error) {
      process.send?.({ id, error: String(error) });
    }
  };
  process.on('message', (command: Command) => void answer(command));
  process.on('disconnect', () => process.exit());
}

/** Starts a process whose program calls `serveParent`. */
export class RemoteProcess<T extends Methods<T>> implements Remote<T> {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #next = 0;
  #ended: Error | undefined;
  output = '';

  constructor([command, ...args]: readonly [string, ...string[]], env: Record<string, string> = {}) {
    this.#child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, ...env },
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    }
    this.#child.on('message', (reply: Reply) => {
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if ('error' in reply) waiting?.reject(new Error(reply.error));
      else waiting?.resolve(reply.result);
    });
    this.#child.on('close', (code, signal) => {
      this.#ended = new Error(`the process ended: ${code ?? signal}\n${this.output}`);
      for (const { reject } of this.#waiting.values()) reject(this.#ended);
    });
  }

  async call<M extends keyof T & string>(method: M, ...args: Parameters<T[M]>): Promise<Awaited<ReturnType<T[M]>>> {
    if (this.#ended) throw this.#ended;
    const waiting = Promise.withResolvers<unknown>();
    const id = this.#next++;
    this.#waiting.set(id, waiting);
    const command: Command = { id, method, args };
    // When it cannot be sent the process has ended, which rejects it.
    this.#child.send(command, () => {});
    return (await waiting.promise) as Awaited<ReturnType<T[M]>>;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    // What enters a namespace becomes the program, so that this ends the program itself.
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }
}
