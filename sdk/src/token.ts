/** Room tokens for a backend: what `mcp-rendezvous-protocol/token` has, under the SDK's name. */
export * from 'mcp-rendezvous-protocol/token';
// It takes the place of the protocol's, which needs Web Crypto.
export { deriveSecret } from './util/derive-secret.ts';
