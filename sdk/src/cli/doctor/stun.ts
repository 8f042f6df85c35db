import { createHash, createHmac, randomBytes } from 'node:crypto';

/**
 * What is needed of STUN (RFC 8489) and TURN (RFC 8656) to bind, to allocate and to give an
 * allocation back.
 */
export const method = { binding: 0x001, allocate: 0x003, refresh: 0x004 } as const;
export const attribute = {
  username: 0x0006,
  messageIntegrity: 0x0008,
  errorCode: 0x0009,
  lifetime: 0x000d,
  realm: 0x0014,
  nonce: 0x0015,
  relayedAddress: 0x0016,
  requestedTransport: 0x0019,
  mappedAddress: 0x0020,
} as const;

export type Attribute = readonly [type: number, value: Buffer | string];

/** A success response, or an error response with its code. */
export interface StunResponse {
  transaction: string;
  attributes: Map<number, Buffer>;
  /** RFC 8489 §14.8, such as 401; undefined for a success. */
  error?: number;
}

const headerBytes = 20;
const integrityBytes = 20;
const cookie = 0x2112a442;

/** A request with a random transaction id. With a key it is signed (RFC 8489 §14.5). */
export function request(type: number, attributes: readonly Attribute[], key?: Buffer): Buffer {
  const body = Buffer.concat(attributes.map(encode));
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(type, 0);
  header.writeUInt16BE(body.length + (key ? integrityBytes + 4 : 0), 2);
  header.writeUInt32BE(cookie, 4);
  randomBytes(12).copy(header, 8);
  const message = Buffer.concat([header, body]);
  if (!key) return message;
  const integrity = createHmac('sha1', key).update(message).digest();
  return Buffer.concat([message, encode([attribute.messageIntegrity, integrity])]);
}

/** The transaction of a message, as a key to compare. */
export const transactionOf = (message: Buffer): string => message.toString('hex', 8, headerBytes);

/** The key of the long-term credentials (RFC 8489 §9.2.2). */
export const longTermKey = (username: string, realm: string, password: string): Buffer =>
  createHash('md5').update(`${username}:${realm}:${password}`).digest();

/**
 * Bytes of the message that begins here; undefined when that cannot be told yet, 0 when it is no
 * STUN message.
 */
export function messageLength(data: Buffer): number | undefined {
  if (data.length < headerBytes) return undefined;
  // RFC 8489 §5: two zero bits and the cookie.
  if ((data[0] ?? 0xff) > 0x3f || data.readUInt32BE(4) !== cookie) return 0;
  return headerBytes + data.readUInt16BE(2);
}

/** A response; undefined for anything else. */
export function parseResponse(message: Buffer): StunResponse | undefined {
  if (messageLength(message) !== message.length) return undefined;
  const kind = message.readUInt16BE(0) & 0x0110;
  if (kind !== 0x0100 && kind !== 0x0110) return undefined;
  const attributes = new Map<number, Buffer>();
  for (let at = headerBytes; at + 4 <= message.length;) {
    const length = message.readUInt16BE(at + 2);
    const value = message.subarray(at + 4, at + 4 + length);
    if (value.length < length) return undefined;
    const type = message.readUInt16BE(at);
    // RFC 8489 §14: of doubles only the first counts.
    if (!attributes.has(type)) attributes.set(type, value);
    at += 4 + padded(length);
  }
  const response: StunResponse = { transaction: transactionOf(message), attributes };
  if (kind === 0x0100) return response;
  const code = attributes.get(attribute.errorCode);
  return { ...response, error: code && code.length >= 4 ? (code[2]! & 7) * 100 + code[3]! : 0 };
}

/** The address in an XOR-… attribute (RFC 8489 §14.2); undefined when there is none. */
export function xorAddress(response: StunResponse, type: number): string | undefined {
  const value = response.attributes.get(type);
  const bytes = value?.subarray(4);
  if (!value || !bytes || bytes.length !== (value[1] === 2 ? 16 : 4)) return undefined;
  const mask = Buffer.concat([Buffer.from('2112a442', 'hex'), Buffer.from(response.transaction, 'hex')]);
  const clear = bytes.map((byte, index) => byte ^ mask[index]!);
  if (clear.length === 4) return clear.join('.');
  return Array.from({ length: 8 }, (_, index) => ((clear[2 * index]! << 8) | clear[2 * index + 1]!).toString(16)).join(
    ':',
  );
}

export const xorPort = ({ attributes }: StunResponse, type: number): number | undefined => {
  const value = attributes.get(type);
  return value && value.length >= 4 ? value.readUInt16BE(2) ^ (cookie >>> 16) : undefined;
};

const padded = (length: number): number => Math.ceil(length / 4) * 4;

function encode([type, value]: Attribute): Buffer {
  const bytes = Buffer.from(value);
  const encoded = Buffer.alloc(4 + padded(bytes.length));
  encoded.writeUInt16BE(type, 0);
  encoded.writeUInt16BE(bytes.length, 2);
  bytes.copy(encoded, 4);
  return encoded;
}
