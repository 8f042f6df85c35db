import { RendezvousError, toRendezvousError } from '../errors.ts';
import { closeConnection } from '../peer/negotiation.ts';
import { SendReceiveWindow, lowWater } from './send-receive-window.ts';
import { encodeMeta, encodePing, encodePong, type Frame, violation } from './frame.ts';
import { closeCode, closeCodeOf, closeError, type SessionState, shakeHands } from './handshake.ts';
import type { Received } from './reassembler.ts';
import { Keepalive, silentMs } from './keepalive.ts';
import { FrameChannel } from './frame-channel.ts';
import { type Carrier, closedError, type Link, type MessageMeta } from './link.ts';
import { isResponse, type JsonRpcMessage } from './message.ts';
import { hasWebCrypto } from './proof.ts';
import { oversized, parseBytes, toJson } from './text.ts';
import { encodeText } from './utf8.ts';

/** What `close()` waits for at the most, from one acknowledgement to the next. */
const closeTimeoutMs = 3_000;
/** … and in all. */
const closeLimitMs = 30_000;

export interface FramedLinkOptions {
  /** Made the offer of the session's first connection. */
  offerer: boolean;
  /** The largest message in UTF-8 bytes that this side takes. */
  maxMessageBytes: number;
  /** The key of the end-to-end secret; without one the other side must have none either. */
  secret?: Uint8Array<ArrayBuffer> | undefined;
  /** Who was introduced to whom, and where: every proof covers it, and both ends need the same. */
  context: Uint8Array;
}

/** Framed mode (PROTOCOL.md §7, §8): one session over a succession of channels. */
export class FramedLink implements Link {
  onmessage?: (message: JsonRpcMessage, meta?: MessageMeta) => void;
  onerror?: (error: RendezvousError) => void;
  /** The connection under the session looks dead: its channel closed without a CLOSE, it failed, or nothing came for 8 s. Once per loss. */
  onlost?: (reason: RendezvousError) => void;
  /** After `onlost`: the same connection is alive again, or a new one was attached. */
  onfound?: () => void;
  onclose?: (error?: RendezvousError) => void;
  readonly #options: FramedLinkOptions;
  readonly #flow: SendReceiveWindow;
  readonly #keepalive: Keepalive;
  readonly #ended = Promise.withResolvers<void>();
  #session: SessionState | undefined;
  /** The channel in use, and the one whose handshake is under way. */
  #lane: FrameChannel | undefined;
  #attaching: FrameChannel | undefined;
  #lost = false;
  #closing = false;
  #closed = false;
  #closeTimer: ReturnType<typeof setTimeout> | undefined;
  #closeBy = Number.POSITIVE_INFINITY;

  /** @throws RendezvousError `bad_option`: a secret needs Web Crypto, which a page has in a secure context only. */
  constructor(options: FramedLinkOptions) {
    if (options.secret !== undefined && !hasWebCrypto()) {
      throw new RendezvousError(
        'bad_option',
        'A secret needs Web Crypto, which a page has over https and on localhost.',
      );
    }
    this.#options = options;
    this.#flow = new SendReceiveWindow(options.maxMessageBytes, () => {
      if (this.#closing) this.#lane?.sayClose(closeCode.done);
    });
    this.#keepalive = new Keepalive({
      ping: (id) => this.#lane?.send(encodePing(id)),
      silent: (afterMs) => this.#lose(silence(afterMs)),
    });
  }

  /** The session's name; known after the first `attach()`. */
  get session(): string | undefined {
    return this.#session?.name;
  }

  /** A new connection can take over: both sides can prove that they were there before. */
  get resumable(): boolean {
    return this.#session?.key !== undefined;
  }

  /** Milliseconds that the last PING took. */
  get roundTripMs(): number | undefined {
    return this.#keepalive.roundTripMs;
  }

  /**
   * Takes a connected channel: HELLO, AUTH, and what the other side has not received. Set the handlers before: they may be called
   * before this resolves. Rejects and closes the new connection when the handshake fails (`secret_mismatch`, `bad_channel`,
   * `session_lost`, `peer_gone`, `peer_silent`, the signal's reason); an older one is left as it was. If there is none, the link
   * is closed then, without `onclose`. A newer attach() ends one that is under way.
   */
  async attach(carrier: Carrier, signal?: AbortSignal): Promise<void> {
    if (this.#closed) {
      closeConnection(carrier.connection);
      throw closedError();
    }
    this.#attaching?.fail(new RendezvousError('aborted', 'A newer connection took the place of this one.'));
    const lane = new FrameChannel(carrier, lowWater);
    this.#attaching = lane;
    const abort = () => lane.fail(toRendezvousError(signal?.reason, 'aborted', 'Connecting was aborted.'));
    const timer = setTimeout(() => lane.fail(silence(silentMs)), silentMs);
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    try {
      const { received } = this.#flow;
      const agreed = await shakeHands(lane, {
        ...this.#options,
        secret: this.#options.secret,
        session: this.#session,
        received,
      });
      lane.throwIfFailed();
      this.#flow.resume(lane, { own: received, other: agreed.received });
      this.#adopt(lane, agreed.session);
    } catch (thrown) {
      const error = toRendezvousError(thrown, 'bad_channel', 'The handshake over the data channel failed; see cause.');
      const leaving = lane.leave(closeCodeOf(error), error.message);
      if (this.#attaching === lane && !this.#session) {
        this.#closed = true;
        void leaving.then(this.#ended.resolve);
      }
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      if (this.#attaching === lane) this.#attaching = undefined;
    }
  }

  /**
   * Sends a message, after those before it. Resolves when it is in frames, which are kept until the other side has them: it waits
   * while the window is full, and while the connection is lost. Rejects with `closed`, `bad_message` (what JSON cannot say, or
   * metadata of more than 16,384 bytes), or `message_too_large`; a response that is too large is replaced by a JSON-RPC error,
   * or the other side would wait for it in vain.
   */
  async send(message: JsonRpcMessage, meta?: MessageMeta): Promise<void> {
    if (!this.#session || !this.#lane || this.#closing || this.#closed) throw closedError();
    const metaBytes = encodeMeta(meta, this.#lane.maxFrameBytes);
    const limit = this.#session.maxMessageBytes;
    const json = toJson(message);
    // A UTF-16 unit is one byte at least.
    let text = json.length > limit ? undefined : encodeText(json);
    if (!text || text.bytes.length > limit) {
      const { error, instead } = oversized(message, text?.bytes.length ?? json.length, limit);
      this.onerror?.(error);
      text = encodeText(instead);
    }
    const taken = this.#flow.send(text, metaBytes, isResponse(message));
    if (taken) await taken;
  }

  /** Asks now whether the connection stands: something must come within `withinMs`, or `onlost` is called. */
  probe(withinMs: number): void {
    if (this.#lane && !this.#closed) this.#keepalive.probe(withinMs);
  }

  /**
   * Ends the session in order: everything sent before arrives, then both say CLOSE. Waits as long as acknowledgements come, for a
   * new connection if there is none, and gives up 3 s after the last progress, or after 30 s. Idempotent.
   */
  async close(): Promise<void> {
    if (!this.#closing && !this.#closed) {
      this.#closing = true;
      this.#closeBy = performance.now() + closeLimitMs;
      if (this.#session) {
        this.#progress();
        this.#flow.pump();
      } else this.end();
    }
    await this.#ended.promise;
  }

  /**
   * Ends the session at once, with this as `onclose`'s error.
   *
   * @param code told to the other side, if that is possible: PROTOCOL.md §7, CLOSE
   */
  end(error?: RendezvousError, code: number = closeCodeOf(error)): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#closeTimer);
    this.#keepalive.stop();
    this.#flow.end(closedError(error));
    // The first attach() tells of its end itself.
    this.#attaching?.fail(error ?? closedError());
    if (!this.#session) {
      if (!this.#attaching) this.#ended.resolve();
      return;
    }
    void this.#lane?.leave(code, error?.message).then(this.#ended.resolve);
    this.onclose?.(error);
  }

  #adopt(lane: FrameChannel, session: SessionState): void {
    const resumed = this.#session !== undefined;
    this.#lane?.shut();
    this.#flow.use(undefined);
    this.#lane = lane;
    this.#attaching = undefined;
    this.#session = session;
    this.#lost = false;
    this.#keepalive.start();
    if (this.#closing) this.#progress();
    if (resumed) this.onfound?.();
    if (this.#closed) return;
    lane.handTo({
      frame: (frame) => this.#receive(frame),
      fault: (error) => this.end(error),
      broken: (reason) => this.#broken(lane, reason),
      writable: () => this.#flow.pump(),
    });
    if (!this.#closed && !this.#lost) this.#flow.use(lane);
  }

  #receive(frame: Frame): void {
    this.#keepalive.heard();
    this.#find();
    try {
      this.#take(frame);
    } catch (thrown) {
      return this.#unfit(thrown);
    }
    // An acknowledgement makes room for answers, and that for more questions.
    if (frame.type === 'data' || frame.type === 'ack') this.#passOn();
  }

  /** @throws RendezvousError that ends the session */
  #take(frame: Frame): void {
    switch (frame.type) {
      case 'data':
        this.#acknowledged(frame.ack);
        this.#flow.take(frame);
        break;
      case 'ack':
        this.#acknowledged(frame.ack);
        break;
      case 'ping':
        if (!this.#lane?.stuffed) this.#lane?.send(encodePong(frame.id));
        break;
      case 'pong':
        this.#keepalive.pong(frame.id);
        break;
      case 'close':
        this.#closing = true; // it takes nothing any more
        this.#passOn(true);
        return this.end(closeError(frame.code, frame.reason), closeCode.done);
      case 'hello':
      case 'auth':
        throw violation(`${frame.type.toUpperCase()} after the handshake`);
      case 'unknown':
        break;
    }
    this.#flow.throwIfStuck();
  }

  /** @param last see {@link SendReceiveWindow.next} */
  #passOn(last = false): void {
    while (!this.#closed) {
      let next: Received | 'part' | undefined;
      try {
        next = this.#flow.next(last);
      } catch (thrown) {
        return this.#unfit(thrown);
      }
      if (!next) return;
      if (next !== 'part') this.#deliver(next);
      if (!this.#closed) this.#flow.acknowledgeSoon();
    }
  }

  #unfit(thrown: unknown): void {
    this.end(toRendezvousError(thrown, 'bad_channel', 'A frame could not be handled; see cause.'));
  }

  #deliver({ text, meta }: Received): void {
    const parsed = parseBytes(text);
    if ('message' in parsed) return this.onmessage?.(parsed.message, meta);
    this.onerror?.(parsed.refused);
    // Not to one who does not read: answers would pile up. A link that is closing has nothing to say any more.
    if (parsed.reply && this.#flow.drained) this.send(parsed.reply).catch(() => {});
  }

  #acknowledged(ack: number): void {
    if (this.#flow.acknowledged(ack) && this.#closing) this.#progress();
  }

  /** While closing: something has moved, so there is more time. */
  #progress(): void {
    clearTimeout(this.#closeTimer);
    const withinMs = Math.min(closeTimeoutMs, this.#closeBy - performance.now());
    this.#closeTimer = setTimeout(() => this.end(this.#flow.empty ? undefined : unconfirmed()), withinMs);
  }

  #broken(lane: FrameChannel, reason: RendezvousError): void {
    // Whoever has heard our CLOSE, and had everything, may leave without waiting for us.
    if (!lane.open && lane.saidClose && this.#flow.empty) return this.end();
    this.#lose(reason);
    if (!lane.open) this.#keepalive.stop();
  }

  #lose(reason: RendezvousError): void {
    if (this.#lost || this.#closed) return;
    this.#lost = true;
    this.#keepalive.lost();
    this.#flow.use(undefined);
    this.onlost?.(reason);
  }

  #find(): void {
    if (!this.#lost) return;
    this.#lost = false;
    this.onfound?.();
    if (!this.#closed && !this.#lost) this.#flow.use(this.#lane);
  }
}

const silence = (afterMs: number): RendezvousError =>
  new RendezvousError('peer_silent', `Nothing has come from the other peer for ${Math.round(afterMs / 1_000)} s.`, {
    retryable: true,
  });

const unconfirmed = (): RendezvousError =>
  new RendezvousError('session_lost', 'The session was closed before the other peer had confirmed the last messages.');
