import { parseDescription } from '../peer/description.ts';

/** The cryptography of AUTH: PROTOCOL.md §7. */
const hmac = { name: 'HMAC', hash: 'SHA-256' } as const;
const encoder = new TextEncoder();

/** A page has no Web Crypto unless it is a secure context: https://www.w3.org/TR/secure-contexts/ */
export const hasWebCrypto = (): boolean => (crypto.subtle as SubtleCrypto | undefined) !== undefined;

/** What both sides of a channel see of it. `offerer` and `answerer` are those of this channel. */
export interface Witness {
  offererNonce: string;
  answererNonce: string;
  offererSdp: string;
  answererSdp: string;
  session: string;
}

async function importKey(bytes: Uint8Array<ArrayBuffer>): Promise<CryptoKey> {
  return await crypto.subtle.importKey('raw', bytes, hmac, false, ['sign', 'verify']);
}

export const secretKey = (secret: string): Promise<CryptoKey> => importKey(encoder.encode(secret));

/** By which a later channel shows that it belongs to the session that begins on this one. */
export async function sessionKey(witness: Witness, secret: string | undefined): Promise<CryptoKey> {
  const nonces = await importKey(join(fromBase64Url(witness.offererNonce), fromBase64Url(witness.answererNonce)));
  const label = encoder.encode(`mcp-rendezvous session 1${secret ?? ''}`);
  return await importKey(new Uint8Array(await crypto.subtle.sign(hmac, nonces, label)));
}

export async function prove(key: CryptoKey, sender: 'offerer' | 'answerer', witness: Witness): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.sign(hmac, key, await statement(sender, witness)));
}

/** Compares without telling by its time how much of the proof is right. */
export async function verify(
  key: CryptoKey,
  sender: 'offerer' | 'answerer',
  witness: Witness,
  proof: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  return await crypto.subtle.verify(hmac, key, proof, await statement(sender, witness));
}

async function statement(sender: 'offerer' | 'answerer', witness: Witness): Promise<Uint8Array<ArrayBuffer>> {
  return join(
    encoder.encode('mcp-rendezvous auth 1'),
    Uint8Array.of(sender === 'offerer' ? 1 : 2),
    fromBase64Url(witness.offererNonce),
    fromBase64Url(witness.answererNonce),
    await digest(parseDescription(witness.offererSdp).fingerprint),
    await digest(parseDescription(witness.answererSdp).fingerprint),
    encoder.encode(witness.session),
  );
}

async function digest(text: string): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.digest('SHA-256', encoder.encode(text)));
}

function join(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function fromBase64Url(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}
