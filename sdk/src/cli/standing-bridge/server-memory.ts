import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import * as z from 'zod/mini';
import type { JsonRpcMessage, JsonRpcRequest, JsonRpcResult } from '../../link/message.ts';

const members = z.record(z.string(), z.unknown());
const content = z.object({ subject: z.string(), results: z.record(z.string(), members) });

const lists: ReadonlySet<string> = new Set([
  'tools/list',
  'prompts/list',
  'resources/list',
  'resources/templates/list',
]);
/** Characters of a result that are kept. A longer list is asked for when the server is back. */
const maxLength = 4 * 1024 * 1024;

/**
 * What the last server of a room said of itself, in a file that only this user can read: a client
 * that starts while the server sleeps is answered from it. Calls are never answered from it.
 */
export class ServerMemory {
  readonly #file: string;
  #subject = '';
  #results = new Map<string, { [key: string]: unknown }>();

  /**
   * @param place what the memory is of: the relay, the room and who connects
   * @param directory where it is kept
   */
  constructor(place: readonly string[], directory: string) {
    const name = createHash('sha256').update(JSON.stringify(place)).digest('hex').slice(0, 32);
    this.#file = join(directory, `${name}.json`);
    try {
      const { subject, results } = content.parse(JSON.parse(readFileSync(this.#file, 'utf8')));
      this.#subject = subject;
      this.#results = new Map(Object.entries(results));
    } catch {
      // There is none, or one of another version: nothing is remembered.
    }
  }

  /** Who the server was; undefined if there is no memory of one. */
  get subject(): string | undefined {
    return this.#results.has('initialize') ? this.#subject : undefined;
  }

  /** The answer of the last server, if it would be the same to this request. */
  recall({ id, method, params = {} }: JsonRpcRequest): JsonRpcResult | undefined {
    const result = this.#results.get(method);
    if (!result || params['cursor'] !== undefined) return undefined;
    // Otherwise the versions are to be negotiated.
    if (method === 'initialize' && params['protocolVersion'] !== result['protocolVersion']) return undefined;
    return { jsonrpc: '2.0', id, result };
  }

  /** A server has answered. One that begins is remembered in the place of the one before. */
  note({ method, params = {} }: JsonRpcRequest, answer: JsonRpcMessage, subject: string): void {
    if (!('result' in answer) || params['cursor'] !== undefined) return;
    if (method === 'initialize') this.#subject = subject;
    else if (!lists.has(method)) return;
    const before = JSON.stringify(this.#results.get(method));
    const whole = answer.result['nextCursor'] === undefined && JSON.stringify(answer.result).length <= maxLength;
    if (whole) this.#results.set(method, answer.result);
    else this.#results.delete(method);
    if (JSON.stringify(this.#results.get(method)) !== before) this.#save();
  }

  #save(): void {
    const text = JSON.stringify({ subject: this.#subject, results: Object.fromEntries(this.#results) });
    try {
      mkdirSync(join(this.#file, '..'), { recursive: true, mode: 0o700 });
      // Another process of the same client may write at the same time.
      const next = `${this.#file}.${process.pid}`;
      writeFileSync(next, text, { mode: 0o600 });
      renameSync(next, this.#file);
    } catch {
      // A machine without a place for it goes on without a memory.
    }
  }
}

/** Where the memories of this user are kept. */
export function memoryDirectory({ XDG_STATE_HOME, LOCALAPPDATA }: NodeJS.ProcessEnv): string {
  const home = XDG_STATE_HOME || LOCALAPPDATA || join(homedir(), '.local', 'state');
  return join(home, 'mcp-rendezvous', 'servers');
}
