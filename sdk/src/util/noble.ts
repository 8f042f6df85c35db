/** What a page without Web Crypto needs of noble: a bundle has nothing else of its hashes. */
export { hkdf } from '@noble/hashes/hkdf.js';
export { hmac } from '@noble/hashes/hmac.js';
export { sha256 } from '@noble/hashes/sha2.js';
