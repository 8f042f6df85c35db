import { closeSync, constants, openSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { within } from '../async.ts';
import { usage } from '../cli-error.ts';
import type { Log } from '../log.ts';

/** What became of a call of a tool. */
export type CallOutcome =
  /** The tool's result, which is no error. */
  | 'ok'
  /** The tool's result, which says that it failed. */
  | 'tool_error'
  /** A JSON-RPC error, of the server or of the way to it. */
  | 'error'
  /** The server asks for more before it goes on (MCP 2026-07-28), and the client calls again. */
  | 'input_required'
  /** The server works on as a task. */
  | 'task'
  /** The tool is not shared, and the server did not see the call. */
  | 'denied'
  /** The client took it back. The server may have done it all the same. */
  | 'cancelled'
  /** The session ended before the server answered. */
  | 'unanswered';

/** One call, as a line of the file. It has neither arguments nor results. */
export interface AuditedCall {
  /** When it arrived, ISO 8601. */
  time: string;
  room: string;
  /** Of the client's token. */
  subject: string;
  /** Of the client's token; null: it has none. */
  jti: string | null;
  /** The relay's id of the client. */
  peer: string;
  /** Up to 256 characters; null: the client named none. */
  tool: string | null;
  /** Of the request, up to 256 characters; null: it had none, and was dropped. */
  id: string | number | null;
  outcome: CallOutcome;
  /** The JSON-RPC error's code, of the outcome `error`. */
  code?: number;
  durationMs: number;
}

/** Characters of lines that wait for a file that cannot be written, above which they are lost. */
const maxWaiting = 1024 * 1024;
/**
 * The same for a file that can be written. Packets with thousands of calls may come before the
 * first of their lines is written, and a client could hide a call among them.
 */
const maxWaitingBriefly = 32 * maxWaiting;
/** How long after a failure the next attempt is made. */
const retryMs = 1_000;
/** What the last lines may take when the command ends. */
const closeMs = 1_000;
// Without O_NONBLOCK, opening a pipe that nobody reads would take for ever. Windows has none.
const appending = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | (constants.O_NONBLOCK ?? 0);
const ownerOnly = 0o600;

/**
 * The file of `--audit`: one JSON object per line, appended. It is opened for each write, so that
 * it can be moved away at any time.
 *
 * A file that cannot be written ends no session: whoever shares a server wants it to work, and a
 * full disk would otherwise take it from every client. Lines wait for the file, and those that
 * are lost in the end are counted in the file itself, so that an audit sees its gaps.
 */
export class AuditLog {
  readonly #path: string;
  readonly #log: Log;
  #lines: string[] = [];
  #waiting = 0;
  #lost = 0;
  /** What is to be written first: a write may have stopped in the middle of a line. */
  #rest: Buffer | undefined;
  #writing: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #failing = false;

  /** @throws CliError `bad_option`: the file cannot be written */
  constructor(path: string, log: Log) {
    this.#path = path;
    this.#log = log;
    try {
      closeSync(openSync(path, appending, ownerOnly));
    } catch (error) {
      throw usage(`Cannot write the --audit file ${JSON.stringify(path)} (${codeOf(error)}).`);
    }
  }

  /** Returns at once; the line is written soon. */
  write(call: AuditedCall): void {
    const line = asLine(call);
    if (this.#waiting + line.length > (this.#failing ? maxWaiting : maxWaitingBriefly)) {
      this.#lost += 1;
      return;
    }
    this.#lines.push(line);
    this.#waiting += line.length;
    if (!this.#retry) this.#flush();
  }

  /** Resolves when everything is written, or cannot be. Never rejects. */
  async close(): Promise<void> {
    clearTimeout(this.#retry);
    this.#flush();
    await within(closeMs, this.#writing ?? Promise.resolve());
    clearTimeout(this.#retry);
    if (this.#next()) this.#log.error('the last lines of the audit could not be written, and are lost');
  }

  #flush(): void {
    this.#retry = undefined;
    this.#writing ??= this.#writeAll().finally(() => (this.#writing = undefined));
  }

  async #writeAll(): Promise<void> {
    let failed = false;
    while (this.#next()) {
      try {
        await this.#append();
      } catch (error) {
        failed = true;
        this.#failed(error);
        break;
      }
    }
    if (!failed && this.#failing) this.#recovered();
  }

  #failed(error: unknown): void {
    this.#retry = setTimeout(() => this.#flush(), retryMs).unref();
    if (this.#failing) return;
    this.#failing = true;
    this.#log.error(
      `cannot write the audit file ${JSON.stringify(this.#path)} (${codeOf(error)}): calls go on, and the last ` +
        'of them are kept until it can be written. Make room, or correct its permissions',
      { event: 'audit_failed', code: codeOf(error) },
    );
  }

  #recovered(): void {
    this.#failing = false;
    this.#log.info('the audit file is written again', { event: 'audit_recovered' });
  }

  /** The bytes to write now, if there are any. */
  #next(): boolean {
    if (this.#rest) return true;
    if (this.#lost > 0) this.#lines.push(asLine({ time: new Date().toISOString(), lost: this.#lost }));
    if (this.#lines.length === 0) return false;
    this.#rest = Buffer.from(this.#lines.join(''));
    this.#lines = [];
    this.#waiting = 0;
    this.#lost = 0;
    return true;
  }

  async #append(): Promise<void> {
    const file = await open(this.#path, appending, ownerOnly);
    try {
      while (this.#rest) {
        const { bytesWritten } = await file.write(this.#rest);
        const rest = this.#rest.subarray(bytesWritten);
        this.#rest = rest.length > 0 ? rest : undefined;
      }
    } finally {
      await file.close();
    }
  }
}

/** In ASCII, so that nothing that a client chose can look like the end of a line to any reader. */
const asLine = (entry: object): string =>
  `${JSON.stringify(entry).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )}\n`;

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'unknown';
