import type { Duplex } from 'node:stream';
import { WebSocket } from 'ws';

export interface SocketOwner {
  receive(message: Buffer, isBinary: boolean): void;
  receivePing(payload: Buffer): void;
  receivePong(payload: Buffer): void;
  /** Bytes have come, perhaps of an incomplete message. */
  receiveBytes(size: number): void;
  /** A message exceeds the limits of the socket, which takes no more of them. */
  end(code: 'frame_too_large'): void;
  /** The socket has failed and is about to close. */
  failed(code: string | undefined): void;
  closed(code: number): void;
  /** One of the others has thrown this. It must not throw itself. */
  fail(error: unknown): void;
}

/** With these `ws` closes a socket whose peer exceeds a limit (RFC 6455 §7.4.1). */
const tooMuch = new Set<number | undefined>([1008, 1009]);

/**
 * A WebSocket that knows its owner, so that all sockets share their listeners. Functions of each
 * socket's own would take a fifth of the memory of an idle peer.
 */
export class PeerSocket extends WebSocket {
  owner: SocketOwner | undefined;

  /**
   * `ws` calls this as well: with a code alone for a message that exceeds a limit, which the owner
   * has to hear before a close frame is sent; with a reason for the close frame of the peer.
   */
  override close(code?: number, reason?: string | Buffer): void {
    if (this.owner && reason === undefined && tooMuch.has(code))
      tell(this.owner, (owner) => owner.end('frame_too_large'));
    else super.close(code, reason);
  }
}

const streamOwners = new WeakMap<Duplex, SocketOwner>();

/**
 * Tells the owner what happens to a socket.
 *
 * @param stream the stream below the socket
 */
export function listen(socket: PeerSocket, stream: Duplex, owner: SocketOwner): void {
  socket.owner = owner;
  streamOwners.set(stream, owner);
  socket.on('message', onMessage).on('ping', onPing).on('pong', onPong).on('close', onClose).on('error', onError);
  stream.on('data', onData);
}

function tell(owner: SocketOwner | undefined, what: (owner: SocketOwner) => void): void {
  if (!owner) return;
  try {
    what(owner);
  } catch (error) {
    owner.fail(error);
  }
}

const ownerOf = (socket: WebSocket): SocketOwner | undefined => (socket as PeerSocket).owner;

function onMessage(this: WebSocket, message: WebSocket.RawData, isBinary: boolean): void {
  tell(ownerOf(this), (owner) => owner.receive(message as Buffer, isBinary));
}

function onPing(this: WebSocket, payload: Buffer): void {
  tell(ownerOf(this), (owner) => owner.receivePing(payload));
}

function onPong(this: WebSocket, payload: Buffer): void {
  tell(ownerOf(this), (owner) => owner.receivePong(payload));
}

function onClose(this: WebSocket, code: number): void {
  tell(ownerOf(this), (owner) => owner.closed(code));
}

function onError(this: WebSocket, { code }: NodeJS.ErrnoException): void {
  tell(ownerOf(this), (owner) => owner.failed(code));
}

function onData(this: Duplex, chunk: Buffer): void {
  tell(streamOwners.get(this), (owner) => owner.receiveBytes(chunk.byteLength));
}
