/**
 * The binary frame of relayed data, PROTOCOL.md §4: the kind, the length of a peer's id, the id,
 * and what the peers have to tell each other, which is opaque to the relay.
 */
const kind = 1;
const maxIdBytes = 64;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What a frame has in front of its payload, in bytes. */
export const relayedHeaderBytes = (peer: string): number => 2 + encoder.encode(peer).length;

/** @param peer to the relay whom the frame is for, from the relay who sent it */
export function encodeRelayed(peer: string, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const id = encoder.encode(peer);
  const frame = new Uint8Array(2 + id.length + payload.length);
  frame[0] = kind;
  frame[1] = id.length;
  frame.set(id, 2);
  frame.set(payload, 2 + id.length);
  return frame;
}

/** Undefined for what has not this form. The payload is a view of the frame, not a copy. */
export function decodeRelayed(frame: Uint8Array): { peer: string; payload: Uint8Array } | undefined {
  const length = frame[1] ?? 0;
  if (frame[0] !== kind || length === 0 || length > maxIdBytes || frame.length < 3 + length) return undefined;
  return { peer: decoder.decode(frame.subarray(2, 2 + length)), payload: frame.subarray(2 + length) };
}
