import { signal } from '@preact/signals';
import { type Message, isObject } from './rpc.ts';

export type Direction = 'out' | 'in';
export type Kind = 'request' | 'response' | 'error' | 'notification';

export interface TraceEntry {
  n: number;
  /** Milliseconds since the epoch. */
  at: number;
  direction: Direction;
  kind: Kind;
  /** Of an answer: the request's. */
  method: string;
  id: unknown;
  /** Of an answer: how long it took, in milliseconds. */
  tookMs?: number;
  /** Characters of JSON. */
  size: number;
  /** The JSON, cut where it is very long. */
  text: string;
}

const mostEntries = 2000;
/** Characters of one message that are kept; what is longer can be seen where it is shown as a result. */
const mostText = 100_000;

/** Everything that went over one MCP session, newest last; the oldest are forgotten. */
export class Trace {
  readonly entries = signal<TraceEntry[]>([]);
  /** How many there were, the forgotten ones included. */
  readonly count = signal(0);
  onmessage?: (direction: Direction) => void;
  readonly #open = new Map<string, { method: string; at: number }>();
  #added: TraceEntry[] = [];

  add(direction: Direction, message: Message): void {
    const { id } = message;
    const kind = kindOf(message);
    const now = performance.now();
    const key = `${kind === 'request' ? direction : direction === 'in' ? 'out' : 'in'} ${String(id)}`;
    const asked = this.#open.get(key);
    const text = textOf(message);
    if (kind === 'request') this.#open.set(key, { method: String(message.method), at: now });
    else if (id !== undefined) this.#open.delete(key);
    const isAnswer = kind === 'response' || kind === 'error';
    const method = isAnswer ? (asked?.method ?? '?') : String(message.method);
    this.#added.push({
      n: this.count.value + this.#added.length,
      at: Date.now(),
      direction,
      kind,
      method: method.slice(0, 200),
      id,
      ...(isAnswer && asked && { tookMs: now - asked.at }),
      size: text.length,
      text: text.length > mostText ? `${text.slice(0, mostText)}…` : text,
    });
    // A flood of messages is shown frame by frame, and costs one rendering each.
    if (this.#added.length === 1) setTimeout(() => this.#publish(), 50);
    this.onmessage?.(direction);
  }

  clear(): void {
    this.entries.value = [];
  }

  #publish(): void {
    const added = this.#added;
    this.#added = [];
    this.count.value += added.length;
    this.entries.value = [...this.entries.value, ...added].slice(-mostEntries);
  }
}

function kindOf({ method, id, error }: Message): Kind {
  if (typeof method === 'string') return id === undefined ? 'notification' : 'request';
  return isObject(error) ? 'error' : 'response';
}

/** JSON of whatever it is; what is nested so deep that no parser of JavaScript walks it is named instead. */
export function textOf(value: unknown, indent?: number): string {
  try {
    return JSON.stringify(value, undefined, indent) ?? 'undefined';
  } catch {
    return '"(nested too deep to be shown)"';
  }
}
