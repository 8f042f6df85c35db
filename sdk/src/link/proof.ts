import { fromBase64Url } from 'mcp-rendezvous-protocol';
import { fields, join } from './transcript.ts';

/** The cryptography of AUTH: PROTOCOL.md §7. */
const hmac = { name: 'HMAC', hash: 'SHA-256' } as const;
const encoder = new TextEncoder();

/** A page has no Web Crypto unless it is a secure context: https://www.w3.org/TR/secure-contexts/ */
export const hasWebCrypto = (): boolean => (crypto.subtle as SubtleCrypto | undefined) !== undefined;

/** What both sides see of each other and of the path between them. `offerer` and `answerer` are those of this path. */
export interface Witness {
  offererNonce: string;
  answererNonce: string;
  session: string;
  /** Who was introduced to whom, and where. It is that of the session's beginning. */
  context: Uint8Array;
  /** What nobody who sits in between can have the same of at both ends: of a data channel, its certificates. */
  binding: Uint8Array;
}

/** The key of a secret's bytes. */
export async function importKey(bytes: Uint8Array<ArrayBuffer>): Promise<CryptoKey> {
  return await crypto.subtle.importKey('raw', bytes, hmac, false, ['sign', 'verify']);
}

/** By which a later channel shows that it belongs to the session that begins on this one. */
export async function sessionKey(witness: Witness, secret: Uint8Array | undefined): Promise<CryptoKey> {
  const nonces = await importKey(join(fromBase64Url(witness.offererNonce), fromBase64Url(witness.answererNonce)));
  const label = join(encoder.encode('mcp-rendezvous session 2'), secret ?? new Uint8Array());
  return await importKey(new Uint8Array(await crypto.subtle.sign(hmac, nonces, label)));
}

export async function prove(key: CryptoKey, sender: 'offerer' | 'answerer', witness: Witness): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.sign(hmac, key, statement(sender, witness)));
}

/** Compares without telling by its time how much of the proof is right. */
export async function verify(
  key: CryptoKey,
  sender: 'offerer' | 'answerer',
  witness: Witness,
  proof: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  return await crypto.subtle.verify(hmac, key, proof, statement(sender, witness));
}

const statement = (sender: 'offerer' | 'answerer', witness: Witness): Uint8Array<ArrayBuffer> =>
  fields(
    'mcp-rendezvous auth 2',
    sender,
    fromBase64Url(witness.offererNonce),
    fromBase64Url(witness.answererNonce),
    witness.session,
    witness.context,
    witness.binding,
  );
