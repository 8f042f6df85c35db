import { RendezvousError } from '../errors.ts';
import type { RtcDataChannel } from '../peer/engine.ts';
import { closeConnection } from '../peer/negotiation.ts';
import { maxMessageSize } from '../peer/sdp.ts';
import { type Carrier, closedError, type Link } from './link.ts';
import type { JsonRpcMessage } from './message.ts';
import { badMessage, oversized, parse, toJson } from './text.ts';

/** Above this many bytes in the channel's buffer `send()` waits; below the other it goes on. */
const highWater = 1_048_576;
const lowWater = 262_144;
/** How long `close()` waits while nothing moves: for the last messages to go out, and for the other side to take note. */
const closeTimeoutMs = 3_000;
const closeLookMs = 100;

export interface PlainLinkOptions extends Carrier {
  /** The largest message in UTF-8 bytes, either way. */
  maxMessageBytes: number;
}

/**
 * Plain mode: one JSON-RPC message a text message (PROTOCOL.md §7). What mcp-webrtc and mcp-rtc speak.
 */
export class PlainLink implements Link {
  onmessage?: (message: JsonRpcMessage) => void;
  onerror?: (error: RendezvousError) => void;
  onclose?: (error?: RendezvousError) => void;
  readonly #peer: PlainLinkOptions;
  readonly #channel: RtcDataChannel;
  readonly #maxBytes: number;
  readonly #waiting: { text: string; sent: PromiseWithResolvers<void> }[] = [];
  #closing: Promise<void> | undefined;
  #closed = false;

  constructor(peer: PlainLinkOptions) {
    this.#peer = peer;
    this.#channel = peer.channel;
    // An engine may take less than the SDP says, as libwebrtc does when that is written in the form of before RFC 8841.
    const taken = peer.connection.sctp?.maxMessageSize ?? Number.POSITIVE_INFINITY;
    this.#maxBytes = Math.min(peer.maxMessageBytes, maxMessageSize(peer.remoteSdp), taken);
  }

  /** Takes the channel's events, first those that came before. Set the handlers before. */
  start(): void {
    const { channel, connection, early } = this.#peer;
    channel.bufferedAmountLowThreshold = lowWater;
    channel.onbufferedamountlow = () => this.#pump();
    channel.onclose = () => this.#end();
    channel.onerror = () => {}; // `close` follows, and says all there is to say
    channel.onmessage = ({ data }) => this.#receive(data);
    connection.onicecandidate = null;
    const watch = () => {
      if (connection.connectionState === 'failed') this.#end(failed());
      else if (connection.connectionState === 'closed') this.#end();
    };
    connection.onconnectionstatechange = watch;
    connection.oniceconnectionstatechange = null;
    for (const data of early.splice(0)) this.#receive(data);
    // It may all be over already.
    if (channel.readyState === 'closed') this.#end();
    else watch();
  }

  /**
   * Sends a message, after those before it. Resolves when the channel has taken it, which it does as fast as the other side
   * reads. Rejects with `closed`, `bad_message` (what JSON cannot say), or `message_too_large`; a response that is too large is replaced by a JSON-RPC error,
   * or the other side would wait for it in vain.
   */
  async send(message: JsonRpcMessage): Promise<void> {
    if (this.#closed || this.#closing) throw closedError();
    let text = toJson(message);
    const bytes = utf8Bytes(text, this.#maxBytes);
    if (bytes > this.#maxBytes) {
      const { error, instead } = oversized(message, bytes, this.#maxBytes);
      this.onerror?.(error);
      text = instead;
    }
    if (this.#waiting.length === 0 && this.#channel.bufferedAmount < highWater) return this.#hand(text);
    const sent = Promise.withResolvers<void>();
    this.#waiting.push({ text, sent });
    this.#pump();
    await sent.promise;
  }

  /** Delivers what was sent, as long as it gets on, then ends the channel and the connection. Idempotent. */
  async close(): Promise<void> {
    this.#closing ??= this.#close();
    await this.#closing;
  }

  /** Ends the channel and the connection at once, with this as `onclose`'s error. */
  end(error?: RendezvousError): void {
    this.#end(error);
  }

  async #close(): Promise<void> {
    const { engine, channel } = this.#peer;
    if (this.#closed) return;
    const closed = new Promise<void>((resolve) => {
      this.#onended = resolve;
    });
    const deadline = Promise.withResolvers<void>();
    const timer = this.#watchProgress(deadline.resolve);
    const pending = Promise.allSettled(this.#waiting.map(({ sent }) => sent.promise));
    const flushed = pending.then(() => engine.flush?.(channel)).catch((cause) => this.onerror?.(unflushed(cause)));
    await Promise.race([flushed, closed, deadline.promise]);
    if (!this.#closed) channel.close();
    await Promise.race([closed, deadline.promise]);
    clearInterval(timer);
    this.#end();
  }
  #onended?: () => void;

  /** Calls back when nothing has moved for `closeTimeoutMs`. */
  #watchProgress(stuck: () => void): ReturnType<typeof setInterval> {
    const look = () => ({ waiting: this.#waiting.length, buffered: this.#channel.bufferedAmount });
    let last = look();
    let since = performance.now();
    return setInterval(() => {
      const now = look();
      if (now.waiting < last.waiting || now.buffered < last.buffered) since = performance.now();
      else if (performance.now() - since > closeTimeoutMs) stuck();
      last = now;
    }, closeLookMs);
  }

  #hand(text: string): void {
    try {
      this.#channel.send(text);
    } catch (cause) {
      // Never let a TypeError out: the MCP SDK's version probe would take it for a server of another era.
      if (this.#channel.readyState !== 'open') throw closedError(cause);
      throw new RendezvousError('engine_failed', 'The data channel did not take a message; see cause.', { cause });
    }
  }

  #pump(): void {
    while (this.#waiting[0] && this.#channel.bufferedAmount < highWater) {
      const { text, sent } = this.#waiting.shift()!;
      try {
        this.#hand(text);
        sent.resolve();
      } catch (error) {
        sent.reject(error);
      }
    }
  }

  #receive(data: unknown): void {
    if (this.#closed) return;
    if (typeof data !== 'string') {
      return this.onerror?.(badMessage('a binary message, where plain mode has text only'));
    }
    const { maxMessageBytes } = this.#peer;
    if (utf8Bytes(data, maxMessageBytes) > maxMessageBytes) {
      return this.onerror?.(badMessage(`a message of more than ${maxMessageBytes} bytes`));
    }
    const parsed = parse(data);
    if ('message' in parsed) return this.onmessage?.(parsed.message);
    this.onerror?.(parsed.refused);
    // Not to one who does not read: answers would pile up. A link that is closing has nothing to say any more.
    if (parsed.reply && this.#waiting.length === 0) this.send(parsed.reply).catch(() => {});
  }

  #end(error?: RendezvousError): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const { sent } of this.#waiting.splice(0)) sent.reject(closedError());
    const { connection, channel } = this.#peer;
    channel.onmessage = null;
    channel.onclose = null;
    connection.onconnectionstatechange = null;
    closeConnection(connection);
    this.#onended?.();
    this.onclose?.(error);
  }
}

const encoder = new TextEncoder();

/** Exact only where it matters: a UTF-16 unit is one to three bytes. */
function utf8Bytes(text: string, limit: number): number {
  if (text.length > limit) return text.length;
  return text.length * 3 <= limit ? text.length : encoder.encode(text).byteLength;
}

const failed = () =>
  new RendezvousError('session_lost', 'The connection to the other peer failed, and plain mode has no other one.');

// No reason to leave the channel open, but what was sent last may be lost with it.
const unflushed = (cause: unknown) =>
  new RendezvousError('engine_failed', 'The last messages before the close may not have arrived; see cause.', {
    cause,
  });
