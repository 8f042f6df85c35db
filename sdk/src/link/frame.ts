import {
  type Hello,
  hello,
  type MessageMeta,
  messageMeta,
  nestsDeeperThan,
  RendezvousError,
  type Schema,
} from 'mcp-rendezvous-protocol';

/** Encodes and decodes the frames of PROTOCOL.md §7. */
const frameType = { hello: 1, auth: 2, data: 3, ack: 4, ping: 5, pong: 6, close: 7 } as const;
const flag = { end: 1, meta: 2 } as const;
/** Type, flags, seq and ack. */
const dataHeaderBytes = 18;
/** The length field in front of the metadata. */
const metaHeaderBytes = 4;
/** The largest message that every engine and browser takes. Smaller frames slow large messages. */
export const maxFrameBytes = 262_144;
const maxMetaBytes = 16_384;
const maxReasonBytes = 512;

export interface DataFrame {
  type: 'data';
  seq: number;
  ack: number;
  end: boolean;
  meta: MessageMeta | undefined;
  /** A view of the frame, not a copy. */
  part: Uint8Array;
  /** The size of the whole frame. */
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

export const encodeHello = (value: Hello): Bytes => encodeText([frameType.hello], JSON.stringify(value));
export const encodeAuth = (proof: Uint8Array): Bytes => Uint8Array.of(frameType.auth, ...proof);

/**
 * The metadata of a message in UTF-8, undefined when there is none.
 *
 * @throws RendezvousError `bad_message` when it is invalid or does not fit into a frame: the other
 *   peer would end the session over it
 */
export function encodeMeta(meta: MessageMeta | undefined, frameBytes: number): Bytes | undefined {
  if (meta?.relatedRequestId === undefined && meta?.headers === undefined) return undefined;
  const { relatedRequestId: id, headers } = meta;
  if (id !== undefined && typeof id !== 'string' && !Number.isSafeInteger(id)) {
    throw new RendezvousError('bad_message', 'relatedRequestId must be a string or an integer.');
  }
  if (headers !== undefined && !isStringRecord(headers)) {
    throw new RendezvousError('bad_message', 'headers must be an object whose members are strings.');
  }
  const bytes = encoder.encode(JSON.stringify({ relatedRequestId: id, headers }));
  const limit = Math.min(maxMetaBytes, frameBytes - dataHeaderBytes - metaHeaderBytes);
  if (bytes.length <= limit) return bytes;
  throw new RendezvousError(
    'bad_message',
    `The metadata of the message is too large: ${bytes.length} bytes, where ${limit} are allowed. Send fewer headers.`,
  );
}

/** JSON leaves undefined members out, so they are allowed. */
const isStringRecord = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  Object.values(value).every((member) => member === undefined || typeof member === 'string');

/** What a DATA frame carries of a message, without the `ack` of the moment when it is sent. */
export interface Part {
  seq: number;
  end: boolean;
  /** JSON in UTF-8. */
  meta: Uint8Array | undefined;
  part: Uint8Array;
}

export const dataFrameBytes = ({ meta, part }: Pick<Part, 'meta' | 'part'>): number =>
  dataHeaderBytes + (meta ? metaHeaderBytes + meta.length : 0) + part.length;

export function encodeData({ seq, ack, end, meta, part }: Part & { ack: number }): Bytes {
  const length = dataFrameBytes({ meta, part });
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  bytes[0] = frameType.data;
  bytes[1] = (end ? flag.end : 0) | (meta ? flag.meta : 0);
  setUint53(view, 2, seq);
  setUint53(view, 10, ack);
  if (meta) {
    view.setUint32(dataHeaderBytes, meta.length);
    bytes.set(meta, dataHeaderBytes + metaHeaderBytes);
  }
  bytes.set(part, length - part.length);
  return bytes;
}

export function encodeAck(ack: number): Bytes {
  const bytes = new Uint8Array(9);
  bytes[0] = frameType.ack;
  setUint53(new DataView(bytes.buffer), 1, ack);
  return bytes;
}

export const encodePing = (id: number): Bytes => encodeId(frameType.ping, id);
export const encodePong = (id: number): Bytes => encodeId(frameType.pong, id);

export function encodeClose(code: number, reason = ''): Bytes {
  return encodeText([frameType.close, code], reason).subarray(0, 2 + maxReasonBytes);
}

/**
 * Decodes one frame. An unknown type is no error.
 *
 * @throws RendezvousError `bad_channel` for a frame that PROTOCOL.md §7 never allows
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
      return { type: 'ack', ack: getUint53(viewOf(bytes), 1) };
    case frameType.ping:
      exactly(bytes, 5, 'PING');
      return { type: 'ping', id: viewOf(bytes).getUint32(1) };
    case frameType.pong:
      exactly(bytes, 5, 'PONG');
      return { type: 'pong', id: viewOf(bytes).getUint32(1) };
    case frameType.close:
      if (bytes.length < 2) throw violation('a CLOSE without a code');
      return { type: 'close', code: bytes[1]!, reason: printable(bytes.subarray(2, 2 + maxReasonBytes)) };
    default:
      return { type: 'unknown' };
  }
}

function decodeData(bytes: Uint8Array): DataFrame {
  if (bytes.length < dataHeaderBytes) throw violation('a truncated DATA frame');
  const flags = bytes[1]!;
  if (flags & ~(flag.end | flag.meta)) throw violation('a DATA frame with unknown flags');
  const view = viewOf(bytes);
  const seq = getUint53(view, 2);
  const ack = getUint53(view, 10);
  const end = (flags & flag.end) !== 0;
  if (!(flags & flag.meta)) {
    return { type: 'data', seq, ack, end, meta: undefined, part: bytes.subarray(dataHeaderBytes), bytes: bytes.length };
  }
  const start = dataHeaderBytes + metaHeaderBytes;
  if (bytes.length < start) throw violation('a DATA frame with truncated metadata');
  const length = view.getUint32(dataHeaderBytes);
  if (length > maxMetaBytes) throw violation(`metadata of ${length} bytes`);
  if (bytes.length < start + length) throw violation('a DATA frame with truncated metadata');
  const meta = json(messageMeta, bytes.subarray(start, start + length), 'metadata');
  return { type: 'data', seq, ack, end, meta, part: bytes.subarray(start + length), bytes: bytes.length };
}

/** The error that ends a session in which the other peer breaks PROTOCOL.md §7. */
export const violation = (what: string): RendezvousError =>
  new RendezvousError('bad_channel', `The other peer violated the framed protocol: it sent ${what}.`);

const strict = new TextDecoder('utf-8', { fatal: true });
/** A HELLO has one level. Headers of metadata are one more. */
const maxLevels = 8;

function json<T>(schema: Schema<T>, bytes: Uint8Array, name: string): T {
  let value: unknown;
  try {
    const text = strict.decode(bytes);
    value = nestsDeeperThan(text, maxLevels) ? undefined : JSON.parse(text);
  } catch {
    throw violation(`a ${name} that is not JSON`);
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues[0]?.path.join('.');
  throw violation(where ? `a ${name} with a bad ${where}` : `a ${name} that is not an object`);
}

/** A reason becomes part of an error message and must not bring control characters into it. */
const printable = (bytes: Uint8Array): string => new TextDecoder().decode(bytes).replaceAll(/\p{Cc}/gu, ' ');

function exactly(bytes: Uint8Array, length: number, name: string): void {
  if (bytes.length !== length) throw violation(`${name} in ${bytes.length} bytes, where it has ${length}`);
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** 64 bits, of which a number can represent 53. */
function getUint53(view: DataView, at: number): number {
  const high = view.getUint32(at);
  if (high >= 2 ** 21) throw violation('a number of 2^53 or more');
  return high * 2 ** 32 + view.getUint32(at + 4);
}

function setUint53(view: DataView, at: number, value: number): void {
  view.setUint32(at, Math.floor(value / 2 ** 32));
  view.setUint32(at + 4, value % 2 ** 32);
}

function encodeId(type: number, id: number): Bytes {
  const bytes = new Uint8Array(5);
  bytes[0] = type;
  new DataView(bytes.buffer).setUint32(1, id);
  return bytes;
}

function encodeText(head: number[], body: string): Bytes {
  return Uint8Array.of(...head, ...encoder.encode(body));
}
