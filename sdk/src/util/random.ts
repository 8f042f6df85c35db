import { toBase64Url } from 'mcp-rendezvous-protocol';

/**
 * A name that nobody guesses. Not `crypto.randomUUID()`, which a page has in a secure context only:
 * over https and on localhost.
 */
export function randomBase64Url(bytes: number): string {
  return toBase64Url(crypto.getRandomValues(new Uint8Array(bytes)));
}
