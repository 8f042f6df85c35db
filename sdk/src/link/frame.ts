import * as z from 'zod/mini';
import { RendezvousError } from '../errors.ts';
import type { MessageMeta } from './link.ts';

/** The frames of PROTOCOL.md §7, to bytes and back. */
const frameType = { hello: 1, auth: 2, data: 3, ack: 4, ping: 5, pong: 6, close: 7 } as const;
const flag = { end: 1, meta: 2 } as const;
/** Type, flags, seq and ack. */
export const dataHeaderBytes = 18;
/** The length in front of the metadata. */
export const metaHeaderBytes = 4;
/** As much as every engine and browser takes in one message: a frame of 64 KiB costs a large message a third of its speed. */
export const maxFrameBytes = 262_144;
const maxMetaBytes = 16_384;
/** A reason for people, not a file. */
const maxReasonBytes = 512;

export const hello = z.object({
  session: z.optional(z.string().check(z.regex(/^[\w-]{22,64}$/))),
  /** 32 bytes. */
  nonce: z.string().check(z.regex(/^[\w-]{43}$/)),
  maxMessageBytes: z.int().check(z.minimum(1)),
  received: z.int().check(z.minimum(0)),
  auth: z.enum(['secret', 'none']),
  resumable: z.optional(z.boolean()),
});
export type Hello = z.infer<typeof hello>;

const messageMeta = z.object({
  relatedRequestId: z.optional(z.union([z.string(), z.int()])),
  headers: z.optional(z.record(z.string(), z.string())),
});

export interface DataFrame {
  type: 'data';
  seq: number;
  ack: number;
  end: boolean;
  meta: MessageMeta | undefined;
  /** A view of what arrived, not a copy. */
  part: Uint8Array;
  /** Of the whole frame. */
  bytes: number;
}

export type Frame =
  | { type: 'hello'; hello: Hello }
  | { type: 'auth'; proof: Uint8Array<ArrayBuffer> }
  | DataFrame
  | { type: 'ack'; ack: number }
  | { type: 'ping'; id: number }
  | { type: 'pong'; id: number }
  | { type: 'close'; code: number; reason: string }
  | { type: 'unknown' };

type Bytes = Uint8Array<ArrayBuffer>;
const encoder = new TextEncoder();

export const encodeHello = (value: Hello): Bytes => text([frameType.hello], JSON.stringify(value));
export const encodeAuth = (proof: Uint8Array): Bytes => Uint8Array.of(frameType.auth, ...proof);

/**
 * The bytes of a message's metadata; none if there is nothing to say.
 *
 * @throws RendezvousError `bad_message` when they are none, or do not fit into a frame: the other side would end the session
 */
export function encodeMeta(meta: MessageMeta | undefined, frameBytes: number): Bytes | undefined {
  if (meta?.relatedRequestId === undefined && meta?.headers === undefined) return undefined;
  const { relatedRequestId: id, headers } = meta;
  if (id !== undefined && typeof id !== 'string' && !Number.isSafeInteger(id)) {
    throw new RendezvousError('bad_message', 'relatedRequestId must be a string or an integer.');
  }
  if (headers !== undefined && !isStrings(headers)) {
    throw new RendezvousError('bad_message', 'headers must be an object whose members are strings.');
  }
  const bytes = encoder.encode(JSON.stringify({ relatedRequestId: id, headers }));
  const limit = Math.min(maxMetaBytes, frameBytes - dataHeaderBytes - metaHeaderBytes);
  if (bytes.length <= limit) return bytes;
  throw new RendezvousError('bad_message', `The metadata of the message has ${bytes.length} bytes, and ${limit} fit.`);
}

/** As JSON, in which members that are undefined are left out. */
const isStrings = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  Object.values(value).every((member) => member === undefined || typeof member === 'string');

/**
 * `meta` is JSON in UTF-8. With `headroom` the header is written in front of the part, where nothing else may be; otherwise the part is
 * copied behind it.
 */
export function encodeData(frame: {
  seq: number;
  ack: number;
  end: boolean;
  meta: Uint8Array | undefined;
  part: Uint8Array;
  headroom?: boolean;
}): Bytes {
  const { seq, ack, end, meta, part, headroom = false } = frame;
  const metaBytes = meta ? metaHeaderBytes + meta.length : 0;
  const length = dataHeaderBytes + metaBytes + part.length;
  const bytes = headroom
    ? new Uint8Array(part.buffer as ArrayBuffer, part.byteOffset - dataHeaderBytes, length) // encodeText's own
    : new Uint8Array(length);
  bytes[0] = frameType.data;
  bytes[1] = (end ? flag.end : 0) | (meta ? flag.meta : 0);
  setCount(bytes, 2, seq);
  setCount(bytes, 10, ack);
  if (meta) {
    set32(bytes, dataHeaderBytes, meta.length);
    bytes.set(meta, dataHeaderBytes + metaHeaderBytes);
  }
  if (!headroom) bytes.set(part, dataHeaderBytes + metaBytes);
  return bytes;
}

export function encodeAck(ack: number): Bytes {
  const bytes = new Uint8Array(9);
  bytes[0] = frameType.ack;
  setCount(bytes, 1, ack);
  return bytes;
}

export const encodePing = (id: number): Bytes => probe(frameType.ping, id);
export const encodePong = (id: number): Bytes => probe(frameType.pong, id);

export function encodeClose(code: number, reason = ''): Bytes {
  return text([frameType.close, code], reason).subarray(0, 2 + maxReasonBytes);
}

/**
 * @throws RendezvousError `bad_channel` for what PROTOCOL.md §7 does not allow, whatever went before. A type that it does not know
 * is no fault.
 */
export function decode(data: ArrayBuffer | Uint8Array): Frame {
  const bytes = data instanceof Uint8Array ? data : new Uint8Array(data);
  if (bytes.length === 0) throw violation('an empty message');
  if (bytes.length > maxFrameBytes) throw violation(`a frame of ${bytes.length} bytes`);
  switch (bytes[0]) {
    case frameType.hello:
      return { type: 'hello', hello: json(hello, bytes.subarray(1), 'HELLO') };
    case frameType.auth:
      exactly(bytes, 33, 'AUTH');
      return { type: 'auth', proof: new Uint8Array(bytes.subarray(1)) };
    case frameType.data:
      return decodeData(bytes);
    case frameType.ack:
      exactly(bytes, 9, 'ACK');
      return { type: 'ack', ack: getCount(bytes, 1) };
    case frameType.ping:
      exactly(bytes, 5, 'PING');
      return { type: 'ping', id: get32(bytes, 1) };
    case frameType.pong:
      exactly(bytes, 5, 'PONG');
      return { type: 'pong', id: get32(bytes, 1) };
    case frameType.close:
      if (bytes.length < 2) throw violation('a CLOSE without a code');
      return { type: 'close', code: bytes[1]!, reason: printable(bytes.subarray(2, 2 + maxReasonBytes)) };
    default:
      return { type: 'unknown' };
  }
}

function decodeData(bytes: Uint8Array): DataFrame {
  if (bytes.length < dataHeaderBytes) throw violation('a DATA frame that is cut short');
  const flags = bytes[1]!;
  if (flags & ~(flag.end | flag.meta)) throw violation('a DATA frame with flags that do not exist');
  const seq = getCount(bytes, 2);
  const ack = getCount(bytes, 10);
  const end = (flags & flag.end) !== 0;
  if (!(flags & flag.meta)) {
    return { type: 'data', seq, ack, end, meta: undefined, part: bytes.subarray(dataHeaderBytes), bytes: bytes.length };
  }
  const start = dataHeaderBytes + metaHeaderBytes;
  if (bytes.length < start) throw violation('a DATA frame whose metadata is cut short');
  const length = get32(bytes, dataHeaderBytes);
  if (length > maxMetaBytes) throw violation(`metadata of ${length} bytes`);
  if (bytes.length < start + length) throw violation('a DATA frame whose metadata is cut short');
  const meta = json(messageMeta, bytes.subarray(start, start + length), 'metadata');
  return { type: 'data', seq, ack, end, meta, part: bytes.subarray(start + length), bytes: bytes.length };
}

/** What ends a session: the other side does not do as PROTOCOL.md §7 says. */
export const violation = (what: string): RendezvousError =>
  new RendezvousError('bad_channel', `The other peer broke the rules of framed mode: it sent ${what}.`);

const strict = new TextDecoder('utf-8', { fatal: true });

function json<T>(schema: z.ZodMiniType<T>, bytes: Uint8Array, name: string): T {
  let value: unknown;
  try {
    value = JSON.parse(strict.decode(bytes));
  } catch {
    throw violation(`a ${name} that is not JSON`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues[0]?.path.join('.');
  throw violation(where ? `a ${name} with a bad ${where}` : `a ${name} that is not an object`);
}

/** The reason of a CLOSE is the other side's: it ends up in an error message, and adds nothing but words to it. */
const printable = (bytes: Uint8Array): string => new TextDecoder().decode(bytes).replaceAll(/\p{Cc}/gu, ' ');

function exactly(bytes: Uint8Array, length: number, name: string): void {
  if (bytes.length !== length) throw violation(`${name} in ${bytes.length} bytes, where it has ${length}`);
}

/** 64 bits, of which 53 are used: what a number can say exactly. */
function getCount(bytes: Uint8Array, at: number): number {
  const high = get32(bytes, at);
  if (high >= 2 ** 21) throw violation('a number of 2^53 or more');
  return high * 2 ** 32 + get32(bytes, at + 4);
}

const get32 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;

function setCount(bytes: Uint8Array, at: number, value: number): void {
  set32(bytes, at, Math.floor(value / 2 ** 32));
  set32(bytes, at + 4, value % 2 ** 32);
}

/** A DataView would cost more than all else that a short frame needs. */
function set32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

function probe(type: number, id: number): Bytes {
  const bytes = new Uint8Array(5);
  bytes[0] = type;
  set32(bytes, 1, id);
  return bytes;
}

function text(head: number[], body: string): Bytes {
  return Uint8Array.of(...head, ...encoder.encode(body));
}
