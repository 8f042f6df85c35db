import type { Role } from 'mcp-rendezvous-protocol';

/**
 * What AUTH covers, in bytes: PROTOCOL.md §7. Every field goes behind its length, so that no two
 * different lists of fields have the same bytes.
 */
type Bytes = Uint8Array<ArrayBuffer>;
const encoder = new TextEncoder();

/** Each part behind its length in 4 bytes; texts in UTF-8. */
export function fields(...parts: (string | Uint8Array)[]): Bytes {
  const encoded = parts.map((part) => (typeof part === 'string' ? encoder.encode(part) : part));
  return join(...encoded.flatMap((part) => [lengthOf(part), part]));
}

export function join(...parts: Uint8Array[]): Bytes {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/** Two peers whom a relay introduced, as one of them knows it. */
export interface Introduction {
  room: string;
  /** Of the peer's own token; empty for none, as for the relay. */
  issuer: string;
  /** Of the other peer's token, as the relay tells it. */
  otherIssuer: string;
  offerer: { role: Role; subject: string };
  answerer: { role: Role; subject: string };
}

export const relayContext = ({ room, issuer, otherIssuer, offerer, answerer }: Introduction): Bytes =>
  fields(
    'relay',
    room,
    issuer,
    // Not by offerer and answerer: the two sides have the same bytes only if the issuers are the
    // same.
    otherIssuer,
    offerer.role,
    offerer.subject,
    answerer.role,
    answerer.subject,
  );

/** The context of a session over a custom signaling channel, where the server offers. */
export const signalingContext = (name: string): Bytes => fields('signaling', name, 'server', 'client');

export const certificateBinding = (offerer: string, answerer: string): Bytes => fields('dtls', offerer, answerer);

/**
 * What both ends of a handshake of the relayed path agree on. The client offers; who the server is
 * comes inside of its answer.
 *
 * @param session empty: a new one begins
 */
export const relayedPrologue = (
  { issuer, room, client }: { issuer: string; room: string; client: string },
  session: string,
  gen: number,
): Bytes => fields('mcp-rendezvous relayed 1', issuer, room, 'client', client, 'server', session, String(gen));

function lengthOf({ length }: Uint8Array): Bytes {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, length);
  return bytes;
}
