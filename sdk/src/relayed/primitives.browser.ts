import { gcm } from '@noble/ciphers/aes.js';
import { x25519 } from '@noble/curves/ed25519.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import type { Primitives } from './primitives.ts';

/** noble's, which also run in pages that have no Web Crypto. */
export const platformPrimitives: Primitives = {
  sha256,
  hkdf: (input, salt, length) => hkdf(sha256, input, salt, undefined, length),
  seal: (key, nonce, associated, plaintext) => gcm(key, nonce, associated).encrypt(plaintext),
  open: (key, nonce, associated, ciphertext) => gcm(key, nonce, associated).decrypt(ciphertext),
  randomSecretKey: () => x25519.utils.randomSecretKey(),
  publicKey: (secretKey) => x25519.getPublicKey(secretKey),
  sharedSecret: (secretKey, publicKey) => x25519.getSharedSecret(secretKey, publicKey),
};
