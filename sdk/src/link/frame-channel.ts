import { RendezvousError, toRendezvousError } from '../errors.ts';
import { closeConnection } from '../peer/negotiation.ts';
import { maxMessageSize } from '../peer/sdp.ts';
import { decode, encodeClose, type Frame, maxFrameBytes, violation } from './frame.ts';
import type { Carrier } from './link.ts';

/** What may wait until the handshake is over: as much as the other side may send without an acknowledgement, and some more. */
const mostWaiting = 5_242_880;
/** What a frame costs beside its bytes. */
const frameOverhead = 200;
/** Answers to PINGs do not pile up behind what the other side does not read. */
const mostBuffered = 1_048_576;
/** How long the last words may take. */
const lingerMs = 1_000;

/** Who takes what comes over a lane. */
export interface FrameChannelOwner {
  frame(frame: Frame): void;
  /** A frame that is none. */
  fault(error: RendezvousError): void;
  /** The channel has closed, or its connection failed; the latter may pass. */
  broken(reason: RendezvousError): void;
  /** The channel has room again. */
  writable(): void;
}

/** One channel under a session: frames in both directions, and the goodbye. */
export class FrameChannel {
  /** The largest frame that the other side takes here. */
  readonly maxFrameBytes: number;
  readonly #carrier: Carrier;
  #waiting: Frame[] = [];
  #waitingBytes = 0;
  #reader: PromiseWithResolvers<Frame> | undefined;
  #owner: FrameChannelOwner | undefined;
  #failure: RendezvousError | undefined;
  #saidClose = false;
  #heardClose = false;
  /** Of the other side's CLOSE, and of the channel's end, while leaving. */
  #onclose: (() => void) | undefined;
  #leaving: Promise<void> | undefined;
  #shut = false;

  /** @param lowWater bytes in the channel's buffer below which the owner hears `writable` */
  constructor(carrier: Carrier, lowWater: number) {
    this.#carrier = carrier;
    this.maxFrameBytes = Math.min(maxFrameBytes, maxMessageSize(carrier.remoteSdp));
    const { channel, connection, early } = carrier;
    channel.binaryType = 'arraybuffer';
    channel.bufferedAmountLowThreshold = lowWater;
    channel.onbufferedamountlow = () => this.#owner?.writable();
    channel.onerror = () => {}; // `close` follows, and says all there is to say
    channel.onclose = () => this.#channelClosed();
    channel.onmessage = ({ data }) => this.#receive(data);
    connection.onconnectionstatechange = () => this.#watch();
    for (const data of early.splice(0)) this.#receive(data);
    // It may all be over already.
    if (channel.readyState === 'closed') this.#channelClosed();
    else this.#watch();
  }

  get carrier(): Carrier {
    return this.#carrier;
  }

  get open(): boolean {
    return !this.#shut && this.#carrier.channel.readyState === 'open';
  }

  get buffered(): number {
    return this.#carrier.channel.bufferedAmount;
  }

  /** There is a limit to what a PING may cost. */
  get stuffed(): boolean {
    return this.buffered > mostBuffered;
  }

  get saidClose(): boolean {
    return this.#saidClose;
  }

  /** During the handshake: one frame after the other. Rejects when there will be none. */
  async next(): Promise<Frame> {
    if (this.#waiting.length > 0) {
      const frame = this.#waiting.shift()!;
      this.#waitingBytes -= cost(frame);
      return frame;
    }
    if (this.#failure) throw this.#failure;
    this.#reader = Promise.withResolvers();
    return await this.#reader.promise;
  }

  /** After the handshake: from here on everything goes to the owner, what waited first. */
  handTo(owner: FrameChannelOwner): void {
    this.#owner = owner;
    while (this.#owner === owner && this.#waiting.length > 0) owner.frame(this.#waiting.shift()!);
  }

  /** Gives up a handshake: `next()` rejects with this. */
  fail(error: RendezvousError): void {
    this.#failure ??= error;
    this.#reader?.reject(this.#failure);
    this.#reader = undefined;
  }

  /** @throws what `fail()` was called with */
  throwIfFailed(): void {
    if (this.#failure) throw this.#failure;
  }

  /** A channel that does not take a frame is of no use any more, as its owner hears. */
  send(frame: Uint8Array<ArrayBuffer>): void {
    if (!this.open || this.#saidClose) return;
    try {
      this.#carrier.channel.send(frame);
    } catch (cause) {
      const owner = this.#owner;
      this.shut();
      const error = new RendezvousError('engine_failed', 'The data channel did not take a frame; see cause.', {
        cause,
      });
      if (owner) owner.broken(error);
      else this.fail(error);
    }
  }

  /** The last frame of this side. */
  sayClose(code: number, reason?: string): void {
    if (this.#saidClose) return;
    this.send(encodeClose(code, reason));
    this.#saidClose = true;
  }

  /**
   * Says CLOSE, unless that has been done, and closes the connection: when the other side's CLOSE has answered it, when the other
   * side has closed the channel, or after 1 s.
   */
  leave(code: number, reason?: string): Promise<void> {
    this.#leaving ??= this.#leave(code, reason);
    return this.#leaving;
  }

  async #leave(code: number, reason: string | undefined): Promise<void> {
    // Who has said CLOSE first closes the channel; otherwise our answer has to get there.
    const answered = () => this.#saidClose && this.#heardClose;
    const first = this.#saidClose || !this.#heardClose;
    this.#owner = undefined;
    this.sayClose(code, reason);
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, lingerMs);
    const over = new Promise<void>((resolve) => {
      this.#onclose = () => {
        if (!this.open || (first && answered())) resolve();
      };
      this.#onclose();
    });
    const { engine, channel } = this.#carrier;
    // Both may have said it at once: then ours was no answer, and must arrive as well.
    // A channel that ends before it is flushed has nobody to whom that would matter.
    const flushed = over.then(() => (this.open ? engine.flush?.(channel) : undefined)).catch(() => {});
    await Promise.race([flushed, late.promise]);
    clearTimeout(timer);
    this.shut();
  }

  /** Closes the connection now, without a word. */
  shut(): void {
    if (this.#shut) return;
    this.#shut = true;
    const { connection, channel } = this.#carrier;
    this.#owner = undefined;
    channel.onmessage = null;
    channel.onclose = null;
    channel.onbufferedamountlow = null;
    connection.onconnectionstatechange = null;
    this.#onclose?.();
    closeConnection(connection);
  }

  #receive(data: unknown): void {
    if (this.#shut) return;
    let frame: Frame;
    try {
      if (!(data instanceof ArrayBuffer || data instanceof Uint8Array)) throw violation('a text message');
      frame = decode(data);
    } catch (thrown) {
      const error = toRendezvousError(thrown, 'bad_channel', 'A frame could not be read; see cause.');
      if (this.#owner) this.#owner.fault(error);
      else this.fail(error);
      return;
    }
    if (frame.type === 'close') this.#heardClose = true;
    if (this.#owner) this.#owner.frame(frame);
    else if (this.#leaving) this.#onclose?.();
    else this.#keep(frame);
  }

  #keep(frame: Frame): void {
    if (this.#failure) return;
    if (this.#reader) {
      this.#reader.resolve(frame);
      this.#reader = undefined;
      return;
    }
    this.#waiting.push(frame);
    this.#waitingBytes += cost(frame);
    if (this.#waitingBytes > mostWaiting) this.fail(violation('too much before the handshake was over'));
  }

  #watch(): void {
    const { connectionState } = this.#carrier.connection;
    if (connectionState === 'failed') this.#break(gone('The connection to the other peer failed.'));
    if (connectionState === 'closed') this.#channelClosed();
  }

  #channelClosed(): void {
    this.#onclose?.();
    this.#break(gone('The data channel closed without a goodbye.'));
  }

  #break(reason: RendezvousError): void {
    if (this.#owner) this.#owner.broken(reason);
    else this.fail(reason);
  }
}

const cost = (frame: Frame): number => frameOverhead + (frame.type === 'data' ? frame.bytes : 0);

const gone = (message: string): RendezvousError => new RendezvousError('peer_gone', message, { retryable: true });
