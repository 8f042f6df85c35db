import { RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import { closeConnection } from '../peer/negotiation.ts';
import { maxMessageSize } from '../peer/sdp.ts';
import type { Clock } from '../util/clock.ts';
import { decode, encodeClose, type Frame, maxFrameBytes, violation } from './frame.ts';
import type { Carrier } from './link.ts';

/** Frames that may arrive before the handshake is over: a full window, and some more. */
const maxEarlyBytes = 5_242_880;
/** What keeping a frame costs beside its bytes, in bytes. */
const frameOverhead = 200;
/** PONGs must not pile up for a peer that does not read. */
const maxBufferedBytes = 1_048_576;
/** How long the closing handshake may take. */
const lingerMs = 1_000;

/** While a channel buffers this much, DATA waits. */
const highWater = 262_144;
/** The relayed path is slow: there a PONG would be behind that for long. */
const relayedHighWater = 65_536;
/** What fits into one frame of the relay. */
const relayedFrameBytes = 16_000;

export interface FrameChannelListener {
  onframe(frame: Frame): void;
  /** Something arrived, be it a part of a frame. */
  onheard(): void;
  oninvalid(error: RendezvousError): void;
  /** The channel closed, or its connection failed; the latter may recover. */
  onlost(reason: RendezvousError): void;
  onwritable(): void;
}

/** One data channel of a session: frames in both directions, and the closing handshake. */
export class FrameChannel {
  /** The largest frame that the other peer takes. */
  readonly maxFrameBytes: number;
  /** How large frames are made. Larger ones exist, from another channel. */
  readonly newFrameBytes: number;
  /** While it buffers more than this, DATA waits, so that a PONG is not far behind it. */
  readonly highWater: number;
  readonly #carrier: Carrier;
  readonly #clock: Clock;
  /** Frames that arrived before there was a listener, and who waits for the next one. */
  readonly #early: Frame[] = [];
  #earlyBytes = 0;
  #reader: PromiseWithResolvers<Frame> | undefined;
  #listener: FrameChannelListener | undefined;
  #failure: RendezvousError | undefined;
  #closeSent = false;
  #closeReceived = false;
  /** While closing: called when a CLOSE arrives, and when the channel ends. */
  #oncloseprogress: (() => void) | undefined;
  #closing: Promise<void> | undefined;
  #closed = false;

  constructor(carrier: Carrier, clock: Clock) {
    this.#carrier = carrier;
    this.#clock = clock;
    const { channel, connection, early, relayed } = carrier;
    this.maxFrameBytes = relayed ? maxFrameBytes : Math.min(maxFrameBytes, maxMessageSize(carrier.remoteSdp));
    this.newFrameBytes = relayed ? relayedFrameBytes : this.maxFrameBytes;
    this.highWater = relayed ? relayedHighWater : highWater;
    if (relayed) relayed.onheard = () => this.#listener?.onheard();
    channel.binaryType = 'arraybuffer';
    channel.bufferedAmountLowThreshold = this.highWater / 2;
    channel.onbufferedamountlow = () => this.#listener?.onwritable();
    channel.onerror = () => {}; // `close` follows and is enough
    channel.onclose = () => this.#channelClosed();
    channel.onmessage = ({ data }) => this.#receive(data);
    connection.onconnectionstatechange = () => this.#checkConnection();
    for (const data of early.splice(0)) this.#receive(data);
    // The channel may have ended before it got here.
    if (channel.readyState === 'closed') this.#channelClosed();
    else this.#checkConnection();
  }

  get carrier(): Carrier {
    return this.#carrier;
  }

  get open(): boolean {
    return !this.#closed && this.#carrier.channel.readyState === 'open';
  }

  get bufferedAmount(): number {
    return this.#carrier.channel.bufferedAmount;
  }

  /** The other peer reads so slowly that PINGs are not answered. */
  get congested(): boolean {
    return this.bufferedAmount > maxBufferedBytes;
  }

  get closeSent(): boolean {
    return this.#closeSent;
  }

  /** During the handshake: the next frame. Rejects when there will be none. */
  async next(): Promise<Frame> {
    const frame = this.#early.shift();
    if (frame) {
      this.#earlyBytes -= cost(frame);
      return frame;
    }
    this.throwIfFailed();
    this.#reader = Promise.withResolvers();
    return await this.#reader.promise;
  }

  /** After the handshake: the listener gets all further frames, first those that waited. */
  listen(listener: FrameChannelListener): void {
    this.#listener = listener;
    while (this.#listener === listener && this.#early.length > 0) listener.onframe(this.#early.shift()!);
  }

  /** Ends the handshake: `next()` rejects with this error. */
  fail(error: RendezvousError): void {
    this.#failure ??= error;
    this.#reader?.reject(this.#failure);
    this.#reader = undefined;
  }

  /** @throws the error of `fail()` */
  throwIfFailed(): void {
    if (this.#failure) throw this.#failure;
  }

  /** Sends a frame. A channel that does not take it is closed, as the listener hears. */
  send(frame: Uint8Array<ArrayBuffer>): void {
    if (!this.open || this.#closeSent) return;
    try {
      this.#carrier.channel.send(frame);
    } catch (cause) {
      const listener = this.#listener;
      this.closeNow();
      const error = new RendezvousError('engine_failed', 'Sending on the data channel failed; see cause.', { cause });
      if (listener) listener.onlost(error);
      else this.fail(error);
    }
  }

  sendClose(code: number, reason?: string): void {
    if (this.#closeSent) return;
    this.send(encodeClose(code, reason));
    this.#closeSent = true;
  }

  /**
   * Sends CLOSE, if that was not done, and closes the connection once the other peer has answered
   * or closed the channel, or after 1 s. Nothing is delivered any more.
   */
  close(code: number, reason?: string): Promise<void> {
    this.#closing ??= this.#close(code, reason);
    return this.#closing;
  }

  async #close(code: number, reason: string | undefined): Promise<void> {
    // Who sent the first CLOSE closes the channel; the other side's answer must arrive before.
    const first = this.#closeSent || !this.#closeReceived;
    this.#listener = undefined;
    this.sendClose(code, reason);
    const timeout = Promise.withResolvers<void>();
    const cancelTimeout = this.#clock.after(lingerMs, timeout.resolve);
    const answered = new Promise<void>((resolve) => {
      this.#oncloseprogress = () => {
        if (!this.open || (first && this.#closeSent && this.#closeReceived)) resolve();
      };
      this.#oncloseprogress();
    });
    const { engine, channel } = this.#carrier;
    // If both sides sent CLOSE at once, ours answered nothing and must arrive as well. A flush that
    // fails means that the channel ended, and then nobody waits for it.
    const flushed = answered.then(() => (this.open ? engine.flush?.(channel) : undefined)).catch(() => {});
    await Promise.race([flushed, timeout.promise]);
    cancelTimeout();
    this.closeNow();
  }

  /** Closes the connection without a CLOSE. */
  closeNow(): void {
    if (this.#detach()) closeConnection(this.#carrier.connection);
  }

  /**
   * Another channel has taken its place: nothing is heard or sent here any more. The connection is
   * closed a little later, because the other peer may not have moved yet and would take the session
   * for lost.
   */
  retire(): void {
    if (this.#detach()) this.#clock.after(lingerMs, () => closeConnection(this.#carrier.connection));
  }

  /** Returns whether that was still to be done. */
  #detach(): boolean {
    if (this.#closed) return false;
    this.#closed = true;
    const { connection, channel } = this.#carrier;
    this.#listener = undefined;
    channel.onmessage = null;
    channel.onclose = null;
    channel.onbufferedamountlow = null;
    connection.onconnectionstatechange = null;
    this.#oncloseprogress?.();
    return true;
  }

  #receive(data: unknown): void {
    if (this.#closed) return;
    let frame: Frame;
    try {
      if (!(data instanceof ArrayBuffer || data instanceof Uint8Array)) throw violation('a text message');
      frame = decode(data);
    } catch (thrown) {
      const error = toRendezvousError(thrown, 'bad_channel', 'Reading a frame failed; see cause.');
      if (this.#listener) this.#listener.oninvalid(error);
      else this.fail(error);
      return;
    }
    if (frame.type === 'close') this.#closeReceived = true;
    if (this.#listener) this.#listener.onframe(frame);
    else if (this.#closing) this.#oncloseprogress?.();
    else this.#keepEarly(frame);
  }

  #keepEarly(frame: Frame): void {
    if (this.#failure) return;
    if (this.#reader) {
      this.#reader.resolve(frame);
      this.#reader = undefined;
      return;
    }
    this.#early.push(frame);
    this.#earlyBytes += cost(frame);
    if (this.#earlyBytes > maxEarlyBytes) this.fail(violation('too much before the handshake was complete'));
  }

  #checkConnection(): void {
    const { connectionState } = this.#carrier.connection;
    if (connectionState === 'failed') this.#lose('The connection to the other peer failed.');
    if (connectionState === 'closed') this.#channelClosed();
  }

  #channelClosed(): void {
    this.#oncloseprogress?.();
    this.#lose('The data channel closed unexpectedly.');
  }

  #lose(message: string): void {
    const reason = new RendezvousError('peer_gone', message, { retryable: true });
    if (this.#listener) this.#listener.onlost(reason);
    else this.fail(reason);
  }
}

const cost = (frame: Frame): number => frameOverhead + (frame.type === 'data' ? frame.bytes : 0);
