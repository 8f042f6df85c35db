/* oxlint-disable no-underscore-dangle -- ws declares no names for what is limited and measured here */
import type { Duplex } from 'node:stream';
import { type RawData, WebSocket } from 'ws';
import type { Connection } from './connection.ts';

/** What a piece of data that waits costs besides its bytes, about: a Buffer with its memory, and what queues it. */
export const pieceBytes = 256;
/** Pieces in which a message may come however small it is; larger ones may come in more. */
const leastPieces = 64;

/** The parts of ws that it does not declare. Tests fail when they are others. */
interface Internals {
  _closeFrameReceived: boolean;
  _socket: Wire;
  _receiver: {
    _maxPayload: number;
    _maxFragments: number;
    _maxBufferedChunks: number;
    /** What has come of a WebSocket frame that is not there as a whole. */
    _bufferedBytes: number;
    _buffers: Buffer[];
    /** The frames of a message that is not there as a whole. */
    _messageLength: number;
    _fragments: Buffer[];
  };
}

/** What a peer's frames come from and are written to. */
type Wire = Duplex & { [owner]?: PeerSocket; readonly writableBuffer?: readonly unknown[] };
const owner = Symbol('the PeerSocket of a wire');

/** One function for all wires. */
function onData(this: Wire, chunk: Buffer): void {
  const { session } = this[owner] ?? {};
  session?.guard(() => session.received(chunk.byteLength));
}

/** A ping with nothing in it (RFC 6455 §5.5.2). */
const pingFrame = Buffer.of(0x89, 0);

/**
 * A socket that tells its session of its events itself. Five listeners for each socket would take as much memory as everything else
 * that the relay keeps of an idle peer's place.
 */
export class PeerSocket extends WebSocket {
  session: Connection | undefined;
  #wire: Wire | undefined;

  /** Called once, when it is open. */
  attach(): void {
    this.#wire = (this as unknown as Internals)._socket;
    this.#wire[owner] = this;
    this.#wire.on('data', onData);
  }

  /**
   * Takes no message that is larger from now on, or that comes in very many pieces: a piece takes up much more memory than
   * one byte. The session ends with `frame_too_large` as soon as the header of such a message is there.
   */
  limit(maxBytes: number): void {
    const { _receiver: receiver } = this as unknown as Internals;
    receiver._maxPayload = maxBytes;
    receiver._maxFragments = Math.max(leastPieces, maxBytes / pieceBytes);
    receiver._maxBufferedChunks = receiver._maxFragments;
  }

  /** The memory that a message takes up which is not there as a whole, in bytes. */
  get unread(): number {
    const { _bufferedBytes, _buffers, _messageLength, _fragments } = (this as unknown as Internals)._receiver;
    return _bufferedBytes + _messageLength + pieceBytes * (_buffers.length + _fragments.length);
  }

  /** The memory that frames take up which the peer has not read, in bytes. */
  get unsent(): number {
    const bytes = this.bufferedAmount;
    return bytes === 0 ? 0 : bytes + pieceBytes * (this.#wire?.writableBuffer?.length ?? 0);
  }

  override close(code?: number, reason?: string | Buffer): void {
    // ws closes with these by itself, when a message is beyond what `limit` has set.
    if ((code === 1008 || code === 1009) && !(this as unknown as Internals)._closeFrameReceived) {
      this.session?.guard(() => this.session?.end('frame_too_large'));
    }
    super.close(code, reason);
  }

  /**
   * What ws would write. For each ping it makes an object that takes V8 more than twice the time of everything else that keeps an idle
   * peer: 76,000 instructions instead of 29,000.
   */
  override ping(): void {
    if (this.readyState === WebSocket.OPEN) this.#wire?.write(pingFrame);
  }

  /** Without listeners. Node keeps an empty dictionary of 184 bytes then; that there may be none at all is in each of its methods. */
  forgetListeners(): void {
    this.removeAllListeners();
    Object.assign(this, { _events: undefined });
  }

  override emit(event: string | symbol, ...args: unknown[]): boolean {
    const { session } = this;
    if (!session) return super.emit(event, ...args);
    let handled = true;
    session.guard(() => (handled = tell(session, event, args)));
    // For ws's own listeners.
    return handled || super.emit(event, ...args);
  }
}

/** Tells a session of an event; false when ws itself listens to it, too. */
function tell(session: Connection, event: string | symbol, args: unknown[]): boolean {
  switch (event) {
    case 'message':
      session.receive(args[0] as RawData, args[1] === true);
      return true;
    case 'ping':
    case 'pong':
      session.receiveControl((args[0] as Buffer).byteLength);
      return true;
    case 'error':
      // ws closes the socket itself, with the number that RFC 6455 §7.4.1 has for it.
      session.faulty(args[0] as NodeJS.ErrnoException);
      return true;
    case 'close':
      session.closed(args[0] as number);
      return false;
    default:
      return false;
  }
}
