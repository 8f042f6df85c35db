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
  /** The version of MCP that it is in; empty as long as none is known. */
  protocol: string;
  /** Of an answer: how long it took, in milliseconds. */
  tookMs?: number;
  /** Characters of JSON. */
  size: number;
  /** The JSON, cut where it is very long. */
  text: string;
}

const mostEntries = 1000;
/**
 * Characters of one message that are kept; what is longer can be seen where it is shown as a
 * result.
 */
const mostText = 50_000;
/** Characters that are kept of a method and of an id. */
const mostName = 200;

/** Everything that went over one MCP session, newest last; the oldest are forgotten. */
export class Trace {
  readonly recent = new Recent<TraceEntry>(mostEntries);
  onmessage?: (direction: Direction) => void;
  readonly #open = new Map<string, { method: string; at: number; protocol: string }>();
  /** The version that was named last. */
  #protocol = '';

  add(direction: Direction, message: Message): void {
    const { id } = message;
    const kind = kindOf(message);
    const now = performance.now();
    const key = `${kind === 'request' ? direction : direction === 'in' ? 'out' : 'in'} ${String(id)}`;
    const asked = this.#open.get(key);
    const text = textOf(message);
    const version = versionIn(message, asked?.method);
    if (version !== undefined) this.#protocol = version;
    const protocol = version ?? asked?.protocol ?? this.#protocol;
    if (kind === 'request') this.#open.set(key, { method: String(message.method), at: now, protocol });
    else if (id !== undefined) this.#open.delete(key);
    const isAnswer = kind === 'response' || kind === 'error';
    const method = isAnswer ? (asked?.method ?? '?') : String(message.method);
    const tookMs = isAnswer && asked ? { tookMs: now - asked.at } : {};
    const kept = text.length > mostText ? `${beginning(text, mostText)}…` : text;
    const at = Date.now();
    const named = { method: beginning(method, mostName), id: typeof id === 'string' ? beginning(id, mostName) : id };
    const shown = { kind, ...named, protocol, size: text.length, text: kept };
    const rest = { at, direction, ...shown, ...tookMs };
    this.recent.add((n) => ({ n, ...rest }));
    this.onmessage?.(direction);
  }
}

/**
 * A copy: a slice of a text keeps all of it in memory, and a thousand messages may be gigabytes.
 */
const beginning = (text: string, most: number): string =>
  text.length > most ? new TextDecoder().decode(new TextEncoder().encode(text.slice(0, most))) : text;

/**
 * The version of MCP that a message names: in its `_meta`, or as `initialize` and its answer do.
 *
 * @param asked the method that it answers
 */
function versionIn({ method, params, result }: Message, asked: string | undefined): string | undefined {
  const { _meta, protocolVersion } = isObject(params) ? params : {};
  const found = isObject(_meta) ? _meta['io.modelcontextprotocol/protocolVersion'] : undefined;
  const agreed = method === 'initialize' ? protocolVersion : undefined;
  const answered = asked === 'initialize' && isObject(result) ? result['protocolVersion'] : undefined;
  const version = found ?? agreed ?? answered;
  return typeof version === 'string' ? version.slice(0, 20) : undefined;
}

function kindOf({ method, id, error }: Message): Kind {
  if (typeof method === 'string') return id === undefined ? 'notification' : 'request';
  return isObject(error) ? 'error' : 'response';
}

/**
 * Levels of nesting that are shown by indentation: each line of a deeper one would be longer than
 * what it says.
 */
const deepestIndented = 40;

/**
 * JSON of whatever it is; what is nested so deep that no parser of JavaScript walks it is named
 * instead.
 */
export function textOf(value: unknown, indent?: number): string {
  try {
    const spaces = indent !== undefined && isDeeper(value, deepestIndented) ? undefined : indent;
    return JSON.stringify(value, undefined, spaces) ?? 'undefined';
  } catch {
    return '"(nested too deeply to display)"';
  }
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((member) => isDeeper(member, levels - 1));
}
