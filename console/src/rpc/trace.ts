import { Recent } from './recent.ts';
import { isObject, type Message } from './rpc.ts';

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

const mostEntries = 1000;
/** Characters of one message that are kept; what is longer can be seen where it is shown as a result. */
const mostText = 50_000;

/** Everything that went over one MCP session, newest last; the oldest are forgotten. */
export class Trace {
  readonly recent = new Recent<TraceEntry>(mostEntries);
  onmessage?: (direction: Direction) => void;
  readonly #open = new Map<string, { method: string; at: number }>();

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
    const tookMs = isAnswer && asked ? { tookMs: now - asked.at } : {};
    const kept = text.length > mostText ? `${text.slice(0, mostText)}…` : text;
    const at = Date.now();
    const rest = { at, direction, kind, method: method.slice(0, 200), id, size: text.length, text: kept, ...tookMs };
    this.recent.add((n) => ({ n, ...rest }));
    this.onmessage?.(direction);
  }
}

function kindOf({ method, id, error }: Message): Kind {
  if (typeof method === 'string') return id === undefined ? 'notification' : 'request';
  return isObject(error) ? 'error' : 'response';
}

/** Levels of nesting that are shown by indentation: each line of a deeper one would be longer than what it says. */
const deepestIndented = 40;

/** JSON of whatever it is; what is nested so deep that no parser of JavaScript walks it is named instead. */
export function textOf(value: unknown, indent?: number): string {
  try {
    const spaces = indent !== undefined && isDeeper(value, deepestIndented) ? undefined : indent;
    return JSON.stringify(value, undefined, spaces) ?? 'undefined';
  } catch {
    return '"(nested too deep to be shown)"';
  }
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((member) => isDeeper(member, levels - 1));
}
