/* oxlint-disable no-underscore-dangle -- The members below have no public names. */
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';

/*
 * The only place that reads members of `ws` that it does not declare. `ws` takes its limits once,
 * for all sockets of a server, while the relay allows a stranger less than a peer that has joined;
 * and it does not say how much memory an incomplete message occupies.
 * server/test/ws-internals.test.ts fails when another version of `ws` works differently.
 */

/** The memory that a queued piece of data takes besides its bytes: a Buffer and its queue entry. */
export const pieceBytes = 256;
/** Every message may come in this many pieces, however small it is; larger ones in more. */
const minPieces = 64;

interface Receiver {
  _maxPayload: number;
  _maxFragments: number;
  _maxBufferedChunks: number;
  /** The bytes and chunks of an incomplete WebSocket frame. */
  _bufferedBytes: number;
  _buffers: Buffer[];
  /** The bytes and frames of an incomplete message. */
  _messageLength: number;
  _fragments: Buffer[];
}

const receiverOf = (socket: WebSocket): Receiver => (socket as unknown as { _receiver: Receiver })._receiver;

/**
 * Limits the messages that a socket takes from now on. A message may also not come in very many
 * pieces, because a piece takes much more memory than one byte.
 *
 * @param maxBytes per message
 */
export function limitMessages(socket: WebSocket, maxBytes: number): void {
  const receiver = receiverOf(socket);
  receiver._maxPayload = maxBytes;
  receiver._maxFragments = Math.max(minPieces, maxBytes / pieceBytes);
  receiver._maxBufferedChunks = receiver._maxFragments;
}

/** The memory that an incomplete message occupies, in bytes. */
export function unreadBytes(socket: WebSocket): number {
  const { _bufferedBytes, _buffers, _messageLength, _fragments } = receiverOf(socket);
  return _bufferedBytes + _messageLength + pieceBytes * (_buffers.length + _fragments.length);
}

/** The memory that frames occupy which the peer has not read yet, in bytes. */
export function unsentBytes(socket: WebSocket): number {
  const bytes = socket.bufferedAmount;
  if (bytes === 0) return 0;
  const { _socket } = socket as unknown as { _socket: Duplex & { writableBuffer?: unknown[] } };
  return bytes + pieceBytes * (_socket.writableBuffer?.length ?? 0);
}
