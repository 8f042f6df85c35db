import type { RtcDataChannel } from './engine.ts';

/**
 * What is given to `send()`, checked: the engines lose a message that is sent too early or too
 * late, or close the channel over one that is too large, and some stall on an empty one.
 *
 * @param most the largest message in bytes that the other side takes.
 * @returns the text, or the bytes that a view shows, not copied.
 * @throws DOMException `InvalidStateError` unless the channel is open; TypeError for a message that
 *   is empty or too large.
 */
export function outgoing(
  data: string | ArrayBufferView<ArrayBuffer>,
  state: RtcDataChannel['readyState'],
  most: number,
): string | Buffer<ArrayBuffer> {
  if (state !== 'open') throw new DOMException(`The data channel is ${state}, not open.`, 'InvalidStateError');
  const message = typeof data === 'string' ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const size = Buffer.byteLength(message);
  if (size === 0) throw new TypeError('An empty message cannot be sent.');
  if (size > most) throw new TypeError(`The message has ${size} bytes, but the other side accepts at most ${most}.`);
  return message;
}
