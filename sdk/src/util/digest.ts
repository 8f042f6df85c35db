/**
 * SHA-256 and what is made of it: Web Crypto's, or noble's where there is none. A page has Web
 * Crypto in a secure context only, and one from an address of a LAN without TLS is not in one:
 * https://www.w3.org/TR/secure-contexts/
 */
type Bytes = Uint8Array<ArrayBuffer>;

const webCrypto = (): SubtleCrypto | undefined => crypto.subtle;
const noble = () => import('./noble.ts');

export async function sha256(data: Bytes): Promise<Bytes> {
  const subtle = webCrypto();
  return subtle ? new Uint8Array(await subtle.digest('SHA-256', data)) : (await noble()).sha256(data);
}

export async function hmacSha256(key: Bytes, data: Bytes): Promise<Bytes> {
  const subtle = webCrypto();
  if (!subtle) {
    const library = await noble();
    return library.hmac(library.sha256, key, data);
  }
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const imported = await subtle.importKey('raw', key, algorithm, false, ['sign']);
  return new Uint8Array(await subtle.sign(algorithm, imported, data));
}

/** 32 bytes of HKDF (RFC 5869) without a salt. */
export async function hkdfSha256(key: Bytes, info: Bytes): Promise<Bytes> {
  const subtle = webCrypto();
  if (!subtle) {
    const library = await noble();
    return library.hkdf(library.sha256, key, undefined, info, 32);
  }
  const imported = await subtle.importKey('raw', key, 'HKDF', false, ['deriveBits']);
  const algorithm = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(), info };
  return new Uint8Array(await subtle.deriveBits(algorithm, imported, 256));
}

/** Compares without telling by its time how much is the same. */
export function equalBytes(one: Uint8Array, other: Uint8Array): boolean {
  let difference = one.length ^ other.length;
  for (const [at, byte] of one.entries()) difference |= byte ^ (other[at] ?? 0);
  return difference === 0;
}
