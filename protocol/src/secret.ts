import { fromBase64Url, toBase64Url } from './base64url.ts';

/** The one form of an end-to-end secret: PROTOCOL.md §7, AUTH. */
const prefix = 'mcps1';
const keyBytes = 32;
const form = /^mcps1[\w-]{49}$/;
/** Of 32 random bytes more are different, but for a chance of less than 2^-100. */
const leastDistinctBytes = 8;

/**
 * A new end-to-end secret for the option `secret`: `mcps1`, 32 random bytes and a checksum, 54
 * characters in all. Give it to both peers, by a way that is not the relay. Works in every page and
 * in Node.
 *
 * @example const secret = createSecret(); await listen({ relay, token, secret }, serve);
 */
export const createSecret = (): string => formatSecret(crypto.getRandomValues(new Uint8Array(keyBytes)));

export function formatSecret(key: Uint8Array): string {
  const body = `${prefix}${toBase64Url(key)}`;
  return `${body}${toBase64Url(checksum(body))}`;
}

/**
 * The 32 bytes of a secret. Undefined for everything that `createSecret()` did not make: another
 * form, a wrong checksum, or a key with so few different bytes that nobody drew it at random.
 */
export function secretKeyBytes(secret: string): Uint8Array<ArrayBuffer> | undefined {
  if (!form.test(secret)) return undefined;
  const key = fromBase64Url(secret.slice(prefix.length, -6));
  if (new Set(key).size < leastDistinctBytes) return undefined;
  // Comparing what is written for this key also refuses base64url whose last bits are not zero.
  return formatSecret(key) === secret ? key : undefined;
}

/**
 * CRC-32 (ISO-HDLC, as in zlib), in network order. It is there for mistakes only, which it finds
 * for certain where a hash would with high probability; and it runs in pages that have no Web
 * Crypto.
 */
function checksum(text: string): Uint8Array {
  let crc = 0xffff_ffff;
  for (let at = 0; at < text.length; at++) {
    crc ^= text.charCodeAt(at);
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb8_8320 : 0);
  }
  crc = ~crc;
  return Uint8Array.of(crc >>> 24, crc >>> 16, crc >>> 8, crc);
}
