import {
  type FrameToRelay,
  frameToRelay,
  type JoinFrame,
  maxFrameDepth,
  maxIdLength,
  parseShallow,
  type RelayErrorCode,
  typesToRelay,
} from 'mcp-rendezvous-protocol';
import { membersOf } from './json.ts';

/** A signal's `data` is its JSON text as it came: the relay passes it on unread. */
export type Frame = Exclude<FrameToRelay, { type: 'signal' | 'join' }> | Signal | Join;

interface Signal {
  type: 'signal';
  id: string;
  to: string;
  data: string;
}

/** A `join`, with the JSON text of its signal's `data`. */
export type Join = Omit<JoinFrame, 'signal'> & { signal?: { id: string; data: string } };

/** A frame with which a connection begins. */
export type First = Extract<Frame, { type: 'join' | 'check' }>;

/** What may be a frame, as far as it is looked at before its schema. */
interface Members {
  type?: unknown;
  id?: unknown;
  to?: unknown;
  signal?: unknown;
}

/** Reads a frame of PROTOCOL.md §3. Returns the code of what is wrong with it otherwise. */
export function parseFrame(text: string): Frame | RelayErrorCode {
  const value = parseShallow(text, maxFrameDepth) as Members | null | undefined;
  if (typeof value?.type !== 'string') return 'bad_frame';
  const raw = rawOf(text, value, value.type === 'join' ? 'signal' : 'data');
  if (raw === undefined) return 'bad_frame';
  if (value.type === 'signal') return signalOf(value, raw) ?? 'bad_frame';
  if (!typesToRelay.has(value.type)) return 'unknown_type';
  const { data: frame } = frameToRelay.safeParse(value);
  if (!frame || frame.type === 'signal') return 'bad_frame';
  if (frame.type !== 'join') return frame;
  const { signal, ...join } = frame;
  if (!signal) return join;
  const data = rawOf(raw, value.signal as object, 'data');
  return data === undefined ? 'bad_frame' : { ...join, signal: { id: signal.id, data } };
}

/**
 * A signal, if its members are what the schema of the protocol says; a test compares the two.
 * Nearly every frame is a signal, and the schema takes half as long as JSON.parse.
 */
function signalOf({ id, to }: { id?: unknown; to?: unknown }, data: string): Signal | undefined {
  return isId(id) && isId(to) && data !== '' ? { type: 'signal', id, to, data } : undefined;
}

const isId = (value: unknown): value is string =>
  typeof value === 'string' && value.length > 0 && value.length <= maxIdLength;

/**
 * The text of a member as it was written, empty if there is none. Undefined if the name of any
 * member comes twice, of which JSON.parse says nothing.
 */
function rawOf(json: string, value: object, wanted: string): string | undefined {
  const { count, text = '' } = membersOf(json, wanted);
  return count === Object.keys(value).length ? text : undefined;
}
