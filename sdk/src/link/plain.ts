import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { RtcDataChannel } from '../peer/engine.ts';
import { closeConnection } from '../peer/negotiation.ts';
import { maxMessageSize } from '../peer/sdp.ts';
import { type Clock, systemClock } from '../util/clock.ts';
import { type Carrier, closedError, type Link } from './link.ts';
import { badMessage, type JsonRpcMessage, parseMessage, serialize, utf8Bytes } from './message.ts';

/** `send()` waits while the channel buffers more than this, until it is below `lowWater`. */
const highWater = 1_048_576;
const lowWater = 262_144;
/** How long `close()` waits without progress: to send the last messages, and for the other peer. */
const closeTimeoutMs = 3_000;
const progressCheckMs = 100;

export interface PlainLinkOptions extends Carrier {
  /** The largest message in UTF-8 bytes, in both directions. */
  maxMessageBytes: number;
  /** @default the system's clock */
  clock?: Clock;
}

/** A session in plain mode (PROTOCOL.md §7): one JSON-RPC message per text message. */
export class PlainLink implements Link {
  onmessage?: (message: JsonRpcMessage) => void;
  onerror?: (error: RendezvousError) => void;
  onclose?: (error?: RendezvousError) => void;
  readonly #options: PlainLinkOptions;
  readonly #clock: Clock;
  readonly #channel: RtcDataChannel;
  /** The largest message that the other peer takes. */
  readonly #maxSendBytes: number;
  readonly #waiting: { text: string; sent: PromiseWithResolvers<void> }[] = [];
  readonly #ended = Promise.withResolvers<void>();
  #closing: Promise<void> | undefined;
  #closed = false;

  constructor(options: PlainLinkOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#channel = options.channel;
    // An engine may take less than the SDP allows: libwebrtc does if it predates RFC 8841.
    const engineLimit = options.connection.sctp?.maxMessageSize ?? Number.POSITIVE_INFINITY;
    this.#maxSendBytes = Math.min(options.maxMessageBytes, maxMessageSize(options.remoteSdp), engineLimit);
  }

  /** Takes over the channel and delivers what arrived before. Set the handlers first. */
  start(): void {
    const { channel, connection, early } = this.#options;
    channel.bufferedAmountLowThreshold = lowWater;
    channel.onbufferedamountlow = () => this.#pump();
    channel.onclose = () => this.end();
    channel.onerror = () => {}; // `close` follows and is enough
    channel.onmessage = ({ data }) => this.#receive(data);
    connection.onicecandidate = null;
    const checkConnection = () => {
      if (connection.connectionState === 'failed') this.end(failed());
      else if (connection.connectionState === 'closed') this.end();
    };
    connection.onconnectionstatechange = checkConnection;
    connection.oniceconnectionstatechange = null;
    for (const data of early.splice(0)) this.#receive(data);
    // The channel may have ended before it got here.
    if (channel.readyState === 'closed') this.end();
    else checkConnection();
  }

  /**
   * Sends a message, after those before it. Resolves when the channel has taken it, which it does
   * as fast as the other peer reads. A response that is too large is replaced by a JSON-RPC error.
   *
   * Rejects with RendezvousError `closed`, `message_too_large`, or `bad_message` for what JSON
   * cannot express.
   */
  async send(message: JsonRpcMessage): Promise<void> {
    if (this.#closed || this.#closing) throw closedError();
    const { json, replaced } = serialize(message, this.#maxSendBytes);
    if (replaced) this.onerror?.(replaced);
    if (this.#waiting.length === 0 && this.#channel.bufferedAmount < highWater) return this.#sendNow(json);
    const sent = Promise.withResolvers<void>();
    this.#waiting.push({ text: json, sent });
    this.#pump();
    await sent.promise;
  }

  /** Sends what waits, as long as it makes progress, then closes the connection. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  /** Closes the connection at once, with this as `onclose`'s error. */
  end(error?: RendezvousError): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const { sent } of this.#waiting.splice(0)) sent.reject(closedError());
    const { connection, channel } = this.#options;
    channel.onmessage = null;
    channel.onclose = null;
    connection.onconnectionstatechange = null;
    closeConnection(connection);
    this.#ended.resolve();
    this.onclose?.(error);
  }

  async #close(): Promise<void> {
    const { engine, channel } = this.#options;
    if (this.#closed) return;
    const stuck = Promise.withResolvers<void>();
    const stopWatching = this.#watchProgress(stuck.resolve);
    const pending = Promise.allSettled(this.#waiting.map(({ sent }) => sent.promise));
    const flushed = pending.then(() => engine.flush?.(channel)).catch((cause) => this.onerror?.(unflushed(cause)));
    await Promise.race([flushed, this.#ended.promise, stuck.promise]);
    if (!this.#closed) channel.close();
    await Promise.race([this.#ended.promise, stuck.promise]);
    stopWatching();
    this.end();
  }

  /** Calls back when nothing was sent for `closeTimeoutMs`. Returns a function that stops it. */
  #watchProgress(onstuck: () => void): () => void {
    let waiting = this.#waiting.length;
    let buffered = this.#channel.bufferedAmount;
    let progressAt = this.#clock.now();
    const check = () => {
      if (this.#waiting.length < waiting || this.#channel.bufferedAmount < buffered) progressAt = this.#clock.now();
      else if (this.#clock.now() - progressAt > closeTimeoutMs) return onstuck();
      waiting = this.#waiting.length;
      buffered = this.#channel.bufferedAmount;
      cancel = this.#clock.after(progressCheckMs, check);
    };
    let cancel = this.#clock.after(progressCheckMs, check);
    return () => cancel();
  }

  #sendNow(text: string): void {
    try {
      this.#channel.send(text);
    } catch (cause) {
      // Never a TypeError: the MCP SDK's version probe would take it for a server of another era.
      if (this.#channel.readyState !== 'open') throw closedError(cause);
      throw new RendezvousError('engine_failed', 'Sending on the data channel failed; see cause.', { cause });
    }
  }

  #pump(): void {
    while (this.#waiting[0] && this.#channel.bufferedAmount < highWater) {
      const { text, sent } = this.#waiting.shift()!;
      try {
        this.#sendNow(text);
        sent.resolve();
      } catch (error) {
        sent.reject(error);
      }
    }
  }

  #receive(data: unknown): void {
    if (this.#closed) return;
    if (typeof data !== 'string') return this.onerror?.(badMessage('it is binary, where plain mode has text only'));
    const { maxMessageBytes } = this.#options;
    if (utf8Bytes(data, maxMessageBytes) > maxMessageBytes) {
      return this.onerror?.(badMessage(`it has more than the ${maxMessageBytes} bytes that maxMessageBytes allows`));
    }
    const parsed = parseMessage(data);
    if (parsed.type === 'message') return this.onmessage?.(parsed.message);
    this.onerror?.(parsed.error);
    // Replies must not pile up for a peer that does not read. A closing link rejects them.
    if (parsed.reply && this.#waiting.length === 0) this.send(parsed.reply).catch(() => {});
  }
}

const failed = () =>
  new RendezvousError('session_lost', 'The connection to the other peer failed. Plain mode cannot restore it.');

// The channel closes all the same, but what was sent last may be lost with it.
const unflushed = (cause: unknown) =>
  new RendezvousError('engine_failed', 'The last messages before the close may not have arrived; see cause.', {
    cause,
  });
