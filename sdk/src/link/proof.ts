import { fromBase64Url, toBase64Url } from 'mcp-rendezvous-protocol';
import { equalBytes, hmacSha256, sha256 } from '../util/digest.ts';
import { fields, join } from './transcript.ts';

// The cryptography of AUTH: PROTOCOL.md §7.
const encoder = new TextEncoder();

/**
 * What both sides see of each other and of the path between them. `offerer` and `answerer` are
 * those of this path.
 */
export interface Witness {
  offererNonce: string;
  answererNonce: string;
  session: string;
  /** Who was introduced to whom, and where. It is that of the session's beginning. */
  context: Uint8Array;
  /**
   * What nobody who sits in between can have the same of at both ends: of a data channel, its
   * certificates.
   */
  binding: Uint8Array;
}

type Bytes = Uint8Array<ArrayBuffer>;

/** By which a later channel shows that it belongs to the session that begins on this one. */
export async function sessionKey(witness: Witness, secret: Uint8Array | undefined): Promise<Bytes> {
  const nonces = join(fromBase64Url(witness.offererNonce), fromBase64Url(witness.answererNonce));
  return await hmacSha256(nonces, join(encoder.encode('mcp-rendezvous session 2'), secret ?? new Uint8Array()));
}

/**
 * The session that begins with a handshake of the relayed path. Its name is public; its key is from
 * what only the two ends of the handshake know.
 */
export async function relayedSession(handshakeHash: Uint8Array, exported: Bytes) {
  const label = fields('mcp-rendezvous session 3', handshakeHash);
  const [digest, key] = await Promise.all([sha256(label), hmacSha256(exported, label)]);
  return { name: toBase64Url(digest.subarray(0, 16)), key };
}

/** By which a relayed path shows that it belongs to a session. */
export const pathKey = async (session: Bytes): Promise<Bytes> =>
  await hmacSha256(session, encoder.encode('mcp-rendezvous path 1'));

export const prove = async (key: Bytes, sender: 'offerer' | 'answerer', witness: Witness): Promise<Bytes> =>
  await hmacSha256(key, statement(sender, witness));

/** Compares without telling by its time how much of the proof is right. */
export async function verify(
  key: Bytes,
  sender: 'offerer' | 'answerer',
  witness: Witness,
  proof: Uint8Array,
): Promise<boolean> {
  return equalBytes(await prove(key, sender, witness), proof);
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
