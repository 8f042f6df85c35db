import { createHmac, timingSafeEqual } from 'node:crypto';

const headerLength = 20;
/** RFC 8489 §14. */
const attributeType = { username: 0x0006, messageIntegrity: 0x0008 } as const;
const integrityLength = 20;

/** RFC 8489 §5: neither bit of the class is set. */
export const isRequest = (message: Buffer): boolean =>
  message.length >= headerLength && (message.readUInt16BE(0) & 0x0110) === 0;

/**
 * Whether a STUN request is signed with the password of the user that it names, ours (RFC 8489
 * §9.1.3, RFC 8445 §7.3).
 *
 * @param password of a local username fragment, if there is such a one.
 */
export function isAuthenticRequest(
  message: Buffer,
  password: (usernameFragment: string) => string | undefined,
): boolean {
  let key: string | undefined;
  for (let at = headerLength; at + 4 <= message.length;) {
    const type = message.readUInt16BE(at);
    const length = message.readUInt16BE(at + 2);
    const value = message.subarray(at + 4, at + 4 + length);
    if (value.length < length) return false;
    if (type === attributeType.username) {
      key = password(value.toString().split(':')[0] ?? '');
    } else if (type === attributeType.messageIntegrity) {
      if (key === undefined || length !== integrityLength) return false;
      // RFC 8489 §14.5: signed is what comes before, with a length that ends behind this attribute.
      const signed = Buffer.from(message.subarray(0, at));
      signed.writeUInt16BE(at + 4 + integrityLength - headerLength, 2);
      return timingSafeEqual(createHmac('sha1', key).update(signed).digest(), value);
    }
    at += 4 + length + ((4 - (length % 4)) % 4);
  }
  return false;
}
