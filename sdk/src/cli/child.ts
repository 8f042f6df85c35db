import type { ChildProcess, ChildProcessByStdio } from 'node:child_process';
import { statSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import spawn from 'cross-spawn';
import { isResponse, type JsonRpcId, type JsonRpcMessage } from '../link/message.ts';
import type { Malformed } from '../link/reading.ts';
import { within } from './async.ts';
import { cancelledId, type End, errorResponse } from './bridge.ts';
import { CliError } from './cli-error.ts';
import { pendingId } from './ids.ts';
import { maxMessageBytes, readLines, readMessages, writeMessage } from './jsonlines.ts';
import { unwatch, watch } from './watchdog.ts';

export interface ChildOptions {
  command: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  /** Default: this process's. */
  cwd?: string | undefined;
  /** Takes what the process writes that is not MCP: its stderr, and stdout that is not JSON-RPC. */
  onoutput: (line: string) => void;
}

/**
 * What a process has to leave by itself after its standard input ended, and again after SIGTERM.
 */
const graceMs = 2_000;
/** What SIGKILL has to take effect, and a process that has ended to let go of its pipes. */
const shortMs = 500;
const maxLogLineBytes = 16 * 1024;
// Process groups are POSIX: elsewhere signals reach the process itself only.
const grouped = process.platform !== 'win32';

const living = new Set<Child>();

/**
 * SIGKILL to every process and all that they started, for when there is no time left to close them.
 */
export function killAll(): void {
  for (const child of living) child.kill();
}

/**
 * An MCP server as a process of its own, spoken to over stdio. No shell, and its own process group,
 * so that what it started (`npx` starts `node`) ends with it. On Windows `npx` is a script, which
 * Node starts in a shell only (CVE-2024-27980): there cross-spawn has cmd.exe run it, with every
 * argument quoted.
 */
export class Child implements End {
  onmessage?: End['onmessage'];
  onmalformed?: End['onmalformed'];
  onclose?: End['onclose'];
  onerror?: End['onerror'];
  /**
   * Resolves with the reason once the process is of no more use: it was not started, or has ended.
   */
  readonly ended: Promise<CliError>;
  readonly #ended = Promise.withResolvers<CliError>();
  readonly #released = Promise.withResolvers<void>();
  readonly #started = Promise.withResolvers<void>();
  readonly #spawned: Promise<void>;
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #discard: () => void;
  /** The methods of unanswered requests. */
  readonly #asked = new Map<JsonRpcId, string>();
  #alive = true;
  #closing: Promise<void> | undefined;

  /**
   * Spawns the process at once. What it says is kept until `start()`.
   *
   * @throws CliError `server_failed`, where that is known at once; otherwise `ended` says it.
   */
  constructor(options: ChildOptions) {
    const { onoutput } = options;
    this.ended = this.#ended.promise;
    const child = spawnGroup(options);
    this.#process = child;
    living.add(this);
    if (grouped && child.pid !== undefined) watch(child.pid);
    const spawned = Promise.withResolvers<void>();
    this.#spawned = spawned.promise;
    // `ended` reports a failed start as well, so this rejection may have no handler.
    this.#spawned.catch(() => {});
    child.once('spawn', spawned.resolve);
    // Signals are not sent by way of `child`, so that this is a command that is not there: on
    // Windows cmd.exe was, and has ended.
    child.on('error', (error) => {
      const failure = notStarted(error);
      spawned.reject(failure);
      this.#end(failure);
    });
    child.once('exit', (code, signal) => {
      const how = signal === null ? `exited with code ${code}` : `was killed by ${signal}`;
      const failure = new CliError('server_exited', `The MCP server process ${how}.`, true);
      // What it said last is still in the pipe; a process that it left behind may hold the pipe
      // open for ever.
      void within(shortMs, this.#released.promise).then(() => this.#end(failure));
    });
    child.once('close', () => this.#released.resolve());
    // EPIPE: `exit` or the rejected send() says more.
    child.stdin.on('error', () => {});

    this.#discard = readMessages(child.stdout, {
      message: (message, beside) => (beside === '' || !this.#isLogged(message) ? this.#deliver(message) : undefined),
      malformed: (malformed) => this.#deliverMalformed(malformed),
      rubbish: (line) => onoutput(line.slice(0, maxLogLineBytes)),
      tooLong: (malformed) => this.#tooLong(malformed),
      // Of one that ends, the exit says more.
      end: () => void within(shortMs * 2, this.ended).then(() => this.#end(closedOutput())),
    });
    readLines(child.stderr, maxLogLineBytes, {
      line: (line) => onoutput(line),
      tooLong: (beginning) => onoutput(`${beginning.toString('utf8')} …`),
      end: () => {},
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  async start(): Promise<void> {
    await this.#spawned;
    if (!this.#alive) throw await this.ended;
    this.#started.resolve();
  }

  async send(message: JsonRpcMessage): Promise<void> {
    if (!this.#alive) throw await this.ended;
    if (!isResponse(message) && 'id' in message) this.#asked.set(message.id, message.method);
    const cancelled = cancelledId(message);
    if (cancelled !== undefined) this.#asked.delete(cancelled);
    try {
      await writeMessage(this.#process.stdin, message);
    } catch (error) {
      if (error instanceof CliError) throw error;
      // The pipe breaks a moment before the process is seen to end, and its end is the better
      // explanation.
      const broken = new CliError('server_exited', 'The MCP server process closed its standard input.', true);
      throw await Promise.race([this.ended, within(shortMs * 2, this.ended).then(() => broken)]);
    }
  }

  /**
   * Ends the process and all that it started: end of input, SIGTERM, SIGKILL, each with a bounded
   * wait.
   */
  async close(): Promise<void> {
    this.#closing ??= this.#close().then(() => {
      living.delete(this);
      if (grouped && this.pid !== undefined) unwatch(this.pid);
    });
    await this.#closing;
  }

  kill(): void {
    this.#signal('SIGKILL');
  }

  async #close(): Promise<void> {
    if (this.#process.pid === undefined) return;
    this.#discard();
    this.#process.stdin.end();
    await within(graceMs, this.#released.promise);
    // Also after an orderly end: a process that it started may have other pipes and stay.
    if (!this.#signal('SIGTERM')) return;
    await this.#gone(graceMs);
    if (!this.#signal('SIGKILL')) return;
    await this.#gone(shortMs);
  }

  /**
   * Resolves when the group is empty. There is no event for the end of a grandchild, so this looks.
   */
  async #gone(ms: number): Promise<void> {
    const deadline = performance.now() + ms;
    while (this.#signal(0) && performance.now() < deadline) await delay(20);
  }

  #signal(signal: NodeJS.Signals | 0): boolean {
    const { pid } = this.#process;
    if (pid === undefined || (!grouped && this.#process.exitCode !== null)) return false;
    try {
      return process.kill(grouped ? -pid : pid, signal);
    } catch {
      // ESRCH: the group is empty. EPERM: the id belongs to a process of another user.
      return false;
    }
  }

  async #deliver(message: JsonRpcMessage): Promise<void> {
    await this.#started.promise;
    if (isResponse(message)) this.#answered(message.id);
    if (this.#alive) await this.onmessage?.(message);
  }

  async #deliverMalformed(malformed: Malformed): Promise<void> {
    await this.#started.promise;
    if (malformed.as !== 'request') this.#answered(malformed.id);
    if (this.#alive) await this.onmalformed?.(malformed);
  }

  #answered(id: JsonRpcId | undefined): void {
    const asked = pendingId(id, this.#asked);
    if (asked !== undefined) this.#asked.delete(asked);
  }

  #tooLong(malformed: Malformed | undefined): void {
    const { error } = errorResponse(undefined, tooLong());
    if (malformed) void this.#deliverMalformed({ ...malformed, error });
    else this.onerror?.(tooLong());
  }

  /**
   * Whether a message behind a text belongs to the text, as in a log of what the server received.
   * Nobody waits for a notification.
   */
  #isLogged(message: JsonRpcMessage): boolean {
    if (isResponse(message)) return false;
    return !('id' in message) || this.#asked.get(message.id) === message.method;
  }

  #end(reason: CliError): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#ended.resolve(reason);
    this.onclose?.(reason);
  }
}

function spawnGroup({ command, args, env, cwd }: ChildOptions): ChildProcessByStdio<Writable, Readable, Readable> {
  // It would be ENOENT, too, as if the command were not there.
  if (cwd !== undefined && !statSync(cwd, { throwIfNoEntry: false })?.isDirectory())
    throw notStarted({ message: 'its cwd is not a directory; check the spelling' });
  try {
    const child = spawn(command, args, { env, cwd, stdio: 'pipe', shell: false, detached: grouped });
    // Out of file descriptors, Node has made no pipes, and an `error` event is to come.
    if (piped(child)) return child;
    child.on('error', () => {});
  } catch (error) {
    throw notStarted(error as NodeJS.ErrnoException);
  }
  throw notStarted({ code: 'EMFILE' });
}

const piped = (child: ChildProcess): child is ChildProcessByStdio<Writable, Readable, Readable> => child.stdin !== null;

function notStarted(error: { code?: string; message?: string }): CliError {
  return new CliError('server_failed', `The MCP server cannot be started: ${spawnFailure(error)}.`);
}

function spawnFailure({ code, message }: { code?: string; message?: string }): string {
  switch (code) {
    case 'ENOENT':
      return 'its command was not found; check the spelling and PATH';
    case 'EACCES':
      return 'its command is not executable; choose another program, or chmod +x it';
    case 'EMFILE':
    case 'ENFILE':
      return 'too many files are open; raise the open file limit (ulimit -n)';
    default:
      return code ?? message ?? 'unknown reason';
  }
}

const closedOutput = () => new CliError('server_exited', 'The MCP server closed its standard output.', true);

const tooLong = () =>
  new CliError('message_too_large', `The MCP server sent a message longer than ${maxMessageBytes} bytes.`);
