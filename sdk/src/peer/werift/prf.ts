import { createHash, createHmac, createPrivateKey, createPublicKey, createECDH, diffieHellman } from 'node:crypto';

/**
 * The PRF of TLS 1.2 with SHA-256 (RFC 5246 §5), which is that of both cipher suites that werift
 * has.
 */
export function prf(secret: Buffer, label: string, seed: Buffer, length: number): Buffer {
  const labelled = Buffer.concat([Buffer.from(label), seed]);
  const blocks: Buffer[] = [];
  let a: Buffer = labelled;
  for (let bytes = 0; bytes < length; bytes += 32) {
    a = hmac(secret, a);
    blocks.push(hmac(secret, Buffer.concat([a, labelled])));
  }
  return Buffer.concat(blocks).subarray(0, length);
}

const hmac = (key: Buffer, data: Buffer): Buffer => createHmac('sha256', key).update(data).digest();

export const sha256 = (data: Buffer): Buffer => createHash('sha256').update(data).digest();

/** RFC 8422 §5.1.1. */
const curves = { secp256r1: 23, x25519: 29 };

/**
 * The premaster secret of an ECDHE key exchange (RFC 8422 §5.10), from werift's raw keys; undefined
 * for another curve.
 */
export function sharedSecret(
  ours: { readonly curve: number; readonly privateKey: Buffer; readonly publicKey: Buffer },
  theirs: Buffer,
): Buffer | undefined {
  switch (ours.curve) {
    case curves.secp256r1: {
      const ecdh = createECDH('prime256v1');
      ecdh.setPrivateKey(ours.privateKey);
      return ecdh.computeSecret(theirs);
    }
    case curves.x25519: {
      const jwk = { kty: 'OKP', crv: 'X25519', x: theirs.toString('base64url') };
      const privateKey = { ...jwk, x: ours.publicKey.toString('base64url'), d: ours.privateKey.toString('base64url') };
      return diffieHellman({
        privateKey: createPrivateKey({ key: privateKey, format: 'jwk' }),
        publicKey: createPublicKey({ key: jwk, format: 'jwk' }),
      });
    }
    default:
      return undefined;
  }
}
