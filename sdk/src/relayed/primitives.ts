/** The cryptographic primitives of the relayed path, as Noise needs them. */
export interface Primitives {
  sha256(data: Uint8Array): Uint8Array;
  /** RFC 5869, without info. */
  hkdf(input: Uint8Array, salt: Uint8Array, length: number): Uint8Array;
  /** AES-256-GCM; the tag is at the end. */
  seal(key: Uint8Array, nonce: Uint8Array, associated: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** Throws when the text was not sealed with the same. */
  open(key: Uint8Array, nonce: Uint8Array, associated: Uint8Array, ciphertext: Uint8Array): Uint8Array;
  /** X25519. */
  randomSecretKey(): Uint8Array;
  publicKey(secretKey: Uint8Array): Uint8Array;
  /** Throws for a point of small order, which would make the shared secret known to all. */
  sharedSecret(secretKey: Uint8Array, publicKey: Uint8Array): Uint8Array;
}

let loaded: Primitives | undefined;

/**
 * Comes before the first handshake. They are loaded only where the relayed path may be used: in a
 * page, loading them takes as long as loading the rest of the SDK.
 */
export async function loadPrimitives(): Promise<void> {
  loaded ??= (await import('#primitives')).platformPrimitives;
}

export function primitives(): Primitives {
  if (!loaded) throw new Error('The primitives of the relayed path are not loaded.');
  return loaded;
}
