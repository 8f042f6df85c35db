import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { RtcDataChannel } from '../peer/engine.ts';
import { closeConnection } from '../peer/negotiation.ts';
import { maxMessageSize } from '../peer/sdp.ts';
import { type Clock, systemClock } from '../util/clock.ts';
import { Patience } from '../util/patience.ts';
import { type RtcCarrier, closedError, type Link } from './link.ts';
import { badMessage, type JsonRpcMessage, serialize, utf8Bytes } from './message.ts';
import { parseMessage } from './reading.ts';

/** `send()` waits while the channel buffers more than this, until it is below `lowWater`. */
const highWater = 1_048_576;
const lowWater = 262_144;
/**
 * How often `close()` looks whether there is progress: in giving the last messages to the engine,
 * and then in the other peer's end.
 */
const closeTimeoutMs = 3_000;

export interface PlainLinkOptions extends RtcCarrier {
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
    const given = Promise.allSettled(this.#waiting.map(({ sent }) => sent.promise));
    const stuck = await this.#whileItGoesOn(given);
    // How long the other peer may be silent meanwhile is known to the engine alone: an empty buffer
    // says nothing of what is on its way.
    const flushed = stuck || this.#closed ? undefined : engine.flush?.(channel);
    await Promise.race([flushed?.catch((cause: unknown) => this.onerror?.(unflushed(cause))), this.#ended.promise]);
    if (!this.#closed) {
      channel.close();
      if (!stuck) await this.#whileItGoesOn(this.#ended.promise);
    }
    this.end();
  }

  /**
   * Until it is done, or the session has ended, or nothing was sent for `closeTimeoutMs`. Returns
   * whether it was the latter.
   */
  async #whileItGoesOn(done: Promise<unknown>): Promise<boolean> {
    const stuck = Promise.withResolvers<true>();
    const state = () => [this.#waiting.length, this.#channel.bufferedAmount] as const;
    let [waiting, buffered] = state();
    const patience = new Patience(this.#clock, () => {
      const [nowWaiting, nowBuffered] = state();
      if (nowWaiting >= waiting && nowBuffered >= buffered) return stuck.resolve(true);
      [waiting, buffered] = [nowWaiting, nowBuffered];
      patience.begin(closeTimeoutMs);
    });
    patience.begin(closeTimeoutMs);
    const isStuck = await Promise.race([stuck.promise, done.then(() => false), this.#ended.promise.then(() => false)]);
    patience.stop();
    return isStuck;
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
    if (typeof data !== 'string') return this.onerror?.(badMessage('it is binary, but plain mode allows only text'));
    const { maxMessageBytes } = this.#options;
    if (utf8Bytes(data, maxMessageBytes) > maxMessageBytes) {
      return this.onerror?.(badMessage(`it has more than ${maxMessageBytes} bytes (maxMessageBytes)`));
    }
    const parsed = parseMessage(data);
    if (parsed.type === 'message') return this.onmessage?.(parsed.message);
    this.onerror?.(parsed.error);
    if (parsed.instead) this.onmessage?.(parsed.instead);
    // Replies must not pile up for a peer that does not read. A closing link rejects them.
    if (parsed.reply && this.#waiting.length === 0) this.send(parsed.reply).catch(() => {});
  }
}

const failed = () =>
  new RendezvousError('session_lost', 'The connection to the other peer failed. Plain mode cannot restore it.');

// The channel closes all the same, but what was sent last may be lost with it.
const unflushed = (cause: unknown) =>
  new RendezvousError('engine_failed', 'The last messages before the close may be lost; see cause.', {
    cause,
  });
