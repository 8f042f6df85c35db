import { type Hello, RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import { closeConnection } from '../peer/negotiation.ts';
import { type Clock, systemClock } from '../util/clock.ts';
import { encodeMeta, encodePing, encodePong, type Frame, violation } from './frame.ts';
import { FrameChannel } from './frame-channel.ts';
import { closeCode, closeCodeOf, closeError, ownHello, type SessionState, shakeHands } from './handshake.ts';
import { impatient, Keepalive, patient } from './keepalive.ts';
import { type Carrier, closedError, type Link, type MessageMeta } from './link.ts';
import { isResponse, type JsonRpcMessage, serialize } from './message.ts';
import { pathKey } from './proof.ts';
import { parseMessage } from './reading.ts';
import { SendReceiveWindow, type Taken } from './send-receive-window.ts';
import { Patience } from '../util/patience.ts';

/** How long `close()` waits for the CLOSE of a peer that has acknowledged everything … */
const closeTimeoutMs = 3_000;
/** … and in all. For acknowledgements it waits as long as a connection may be silent. */
const closeLimitMs = 30_000;

export interface FramedLinkOptions {
  /** Whether this side made the offer of the session's first connection. */
  offerer: boolean;
  /** The largest message in UTF-8 bytes that this side takes. */
  maxMessageBytes: number;
  /** The key of the end-to-end secret; without one the other side must have none either. */
  secret?: Uint8Array<ArrayBuffer> | undefined;
  /** Who was introduced to whom, and where: every proof covers it, and both ends need the same. */
  context: Uint8Array;
  /** The session that a handshake of the relayed path has begun: every path has to belong to it. */
  begun?: SessionState | undefined;
  /** @default the system's clock */
  clock?: Clock;
}

const encoder = new TextEncoder();

/** A session in framed mode (PROTOCOL.md §7, §8), over one data channel after another. */
export class FramedLink implements Link {
  onmessage?: (message: JsonRpcMessage, meta?: MessageMeta) => void;
  onerror?: (error: RendezvousError) => void;
  /**
   * The connection was lost: its channel closed without a CLOSE, it failed, or nothing arrived for
   * 8 s. Called once per loss.
   */
  onlost?: (reason: RendezvousError) => void;
  /** The connection may be about to be lost: it does not answer so far. */
  ondoubt?: () => void;
  /** After `onlost`: the connection works again, or another one was attached. */
  onfound?: () => void;
  onclose?: (error?: RendezvousError) => void;
  /** Another path carries the session; called before `onfound`. */
  onpath?: (carrier: Carrier) => void;
  /** The session has another path to go to: silence counts early. */
  fallsBack = false;
  readonly #options: FramedLinkOptions;
  readonly #clock: Clock;
  readonly #window: SendReceiveWindow;
  readonly #keepalive: Keepalive;
  readonly #ended = Promise.withResolvers<void>();
  #state: (SessionState & { maxMessageBytes: number }) | undefined;
  #channel: FrameChannel | undefined;
  /** The channel whose handshake is under way. */
  #attaching: FrameChannel | undefined;
  #lost = false;
  #closing = false;
  #closed = false;
  /** While closing: for a sign of the other peer, and in all. */
  readonly #closeTimeout: Patience;
  readonly #closeLimit: Patience;

  constructor(options: FramedLinkOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const onsent = () => {
      if (this.#closing) this.#channel?.sendClose(closeCode.done);
    };
    this.#window = new SendReceiveWindow(options.maxMessageBytes, onsent, this.#clock);
    const owner = {
      ping: (id: number) => this.#channel?.send(encodePing(id)),
      doubtful: () => this.ondoubt?.(),
      silent: (afterMs: number) => this.#lose(silence(afterMs)),
    };
    this.#keepalive = new Keepalive(owner, this.#clock);
    const giveUp = () => this.end(this.#window.allAcknowledged ? undefined : unacknowledged());
    this.#closeTimeout = new Patience(this.#clock, giveUp);
    this.#closeLimit = new Patience(this.#clock, giveUp);
  }

  /** The session's name; known after the first `attach()`. */
  get session(): string | undefined {
    return this.#state?.name;
  }

  /** Whether another connection can take over: it needs a proof from both sides. */
  get resumable(): boolean {
    return this.#state?.key !== undefined;
  }

  /** The session, as soon as it has begun, with or without a channel. */
  get #known(): SessionState | undefined {
    return this.#state ?? this.#options.begun;
  }

  /** Whether the relayed path carries the session, or did last. */
  get relayed(): boolean {
    return this.#channel?.carrier.relayed !== undefined;
  }

  /** Whether a path carries the session now. */
  get carried(): boolean {
    return this.#channel !== undefined && !this.#lost;
  }

  /** What the answerer says in a handshake of the relayed path. */
  hello(): Hello {
    return ownHello({ ...this.#options, secret: this.#options.secret, received: this.#window.received }, this.session);
  }

  /** The key with which a relayed path shows that it belongs to the session. */
  async pathKey(): Promise<Uint8Array | undefined> {
    const key = this.#known?.key;
    return key && (await pathKey(key));
  }

  /** Milliseconds between the last answered PING and its PONG. */
  get roundTripMs(): number | undefined {
    return this.#keepalive.roundTripMs;
  }

  /**
   * Runs the handshake over a connected channel, then sends what the other peer has not received.
   * Set the handlers before, because they may be called before this resolves. Ends an attach()
   * that is under way.
   *
   * Rejects and closes the new connection when the handshake fails, with RendezvousError
   * `secret_mismatch`, `bad_channel`, `session_lost`, `peer_gone` or `peer_silent`, or with the
   * signal's reason. An older connection stays as it was; if there is none, the link is closed
   * without a call of `onclose`.
   */
  async attach(carrier: Carrier, signal?: AbortSignal): Promise<void> {
    if (this.#closed) {
      closeConnection(carrier.connection);
      throw closedError();
    }
    this.#attaching?.fail(new RendezvousError('aborted', 'A newer connection replaced this one.'));
    const channel = new FrameChannel(carrier, this.#clock);
    this.#attaching = channel;
    const abort = () => channel.fail(toRendezvousError(signal?.reason, 'aborted', 'Connecting was aborted.'));
    const cancelTimeout = this.#clock.after(patient.silentMs, () => channel.fail(silence(patient.silentMs)));
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    try {
      const { received } = this.#window;
      const agreed = await shakeHands(channel, {
        ...this.#options,
        secret: this.#options.secret,
        session: this.#known,
        received,
      });
      channel.throwIfFailed();
      this.#window.resume(channel, agreed.received);
      this.#adopt(channel, agreed.session);
    } catch (thrown) {
      const error = toRendezvousError(thrown, 'bad_channel', 'The handshake over the data channel failed; see cause.');
      const code = closeCodeOf(error);
      // The other peer may have moved to this channel: a CLOSE would end the session that goes on.
      if (this.#state && !this.#closed && code === closeCode.done) channel.closeNow();
      else {
        const closed = channel.close(code, error.message);
        if (this.#attaching === channel && !this.#state) {
          this.#closed = true;
          void closed.then(this.#ended.resolve);
        }
      }
      // Whoever was in the middle of one path must not stay there.
      if (error.code === 'path_untrusted') this.end(error);
      throw error;
    } finally {
      cancelTimeout();
      signal?.removeEventListener('abort', abort);
      if (this.#attaching === channel) this.#attaching = undefined;
    }
  }

  /**
   * Sends a message, after those before it. Resolves when it is in frames, which are kept until
   * the other peer acknowledges them; it waits while the window is full and while the connection
   * is lost. A response that is too large is replaced by a JSON-RPC error.
   *
   * Rejects with RendezvousError `closed`, `message_too_large`, or `bad_message` for what JSON
   * cannot express and for metadata that is invalid or has more than 16,384 bytes.
   */
  async send(message: JsonRpcMessage, meta?: MessageMeta): Promise<void> {
    if (!this.#state || !this.#channel || this.#closing || this.#closed) throw closedError();
    const metaBytes = encodeMeta(meta, this.#channel.maxFrameBytes);
    const { json, replaced } = serialize(message, this.#state.maxMessageBytes);
    if (replaced) this.onerror?.(replaced);
    await this.#window.send(encoder.encode(json), metaBytes, isResponse(message));
  }

  /** Checks the connection now: something must arrive within this time, or `onlost` is called. */
  probe(withinMs: number): void {
    if (this.#channel && !this.#closed) this.#keepalive.probe(withinMs);
  }

  /**
   * Ends the session in order: everything sent before arrives, then both sides send CLOSE. While
   * the connection is lost it waits for another one. Gives up when nothing arrives for 8 s, or for
   * 3 s once everything is acknowledged, and after 30 s in all. Time in which this process does
   * not get to run does not count. Idempotent.
   */
  async close(): Promise<void> {
    if (!this.#closing && !this.#closed) {
      this.#closing = true;
      if (this.#state) {
        this.#closeLimit.begin(closeLimitMs);
        this.#extendClosing();
        this.#window.pump();
      } else this.end();
    }
    await this.#ended.promise;
  }

  /**
   * Ends the session at once, with this as `onclose`'s error.
   *
   * @param code of the CLOSE, if one can be sent: PROTOCOL.md §7
   */
  end(error?: RendezvousError, code: number = closeCodeOf(error)): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#closeTimeout.stop();
    this.#closeLimit.stop();
    this.#keepalive.stop();
    this.#window.end(closedError(error));
    this.#attaching?.fail(error ?? closedError());
    if (!this.#state) {
      // The rejection of the first attach() reports its end.
      if (!this.#attaching) this.#ended.resolve();
      return;
    }
    void this.#channel?.close(code, error?.message).then(this.#ended.resolve);
    this.onclose?.(error);
  }

  #adopt(channel: FrameChannel, state: SessionState & { maxMessageBytes: number }): void {
    const resumed = this.#state !== undefined;
    if (this.#lost) this.#channel?.closeNow();
    else this.#channel?.retire();
    this.#window.useChannel(undefined);
    this.#channel = channel;
    this.#attaching = undefined;
    this.#state = state;
    this.#lost = false;
    this.#keepalive.start(this.fallsBack ? impatient : patient);
    if (this.#closing) this.#extendClosing();
    this.onpath?.(channel.carrier);
    if (resumed) this.onfound?.();
    if (this.#closed) return;
    channel.listen({
      onframe: (frame) => this.#receive(frame),
      onheard: () => this.#keepalive.heard(),
      oninvalid: (error) => this.end(error),
      onlost: (reason) => this.#channelLost(channel, reason),
      onwritable: () => this.#window.pump(),
    });
    if (!this.#closed && !this.#lost) this.#window.useChannel(channel);
  }

  #receive(frame: Frame): void {
    this.#keepalive.heard();
    // Who has everything and does not say CLOSE is not waited for whatever else it says.
    if (this.#closing && !this.#closed && !this.#window.allAcknowledged) this.#extendClosing();
    this.#recover();
    try {
      this.#handle(frame);
    } catch (thrown) {
      return this.#endInvalid(thrown);
    }
    // An acknowledgement frees the window for responses, after which requests may be passed on.
    if (frame.type === 'data' || frame.type === 'ack') this.#passOn();
  }

  /** @throws RendezvousError that ends the session */
  #handle(frame: Frame): void {
    switch (frame.type) {
      case 'data':
        this.#acknowledged(frame.ack);
        this.#window.receive(frame);
        break;
      case 'ack':
        this.#acknowledged(frame.ack);
        break;
      case 'ping':
        if (!this.#channel?.congested) this.#channel?.send(encodePong(frame.id));
        break;
      case 'pong':
        this.#keepalive.pong(frame.id);
        break;
      case 'close':
        this.#closing = true; // the other peer takes nothing any more
        this.#passOn(true);
        return this.end(closeError(frame.code, frame.reason), closeCode.done);
      case 'hello':
      case 'auth':
        throw violation(`${frame.type.toUpperCase()} after the handshake`);
      case 'unknown':
        break;
    }
    this.#window.throwIfStalled();
  }

  /** @param peerClosed see {@link SendReceiveWindow.next} */
  #passOn(peerClosed = false): void {
    while (!this.#closed) {
      let next: ReturnType<SendReceiveWindow['next']>;
      try {
        next = this.#window.next(peerClosed);
      } catch (thrown) {
        return this.#endInvalid(thrown);
      }
      if (next.type === 'nothing') return;
      if (next.type === 'message') this.#deliver(next);
      if (!this.#closed) this.#window.acknowledgeSoon();
    }
  }

  #endInvalid(thrown: unknown): void {
    this.end(toRendezvousError(thrown, 'bad_channel', 'Handling a frame failed; see cause.'));
  }

  #deliver({ text, meta }: Extract<Taken, { type: 'message' }>): void {
    const parsed = parseMessage(text);
    if (parsed.type === 'message') return this.onmessage?.(parsed.message, meta);
    this.onerror?.(parsed.error);
    if (parsed.instead) this.onmessage?.(parsed.instead, meta);
    // Replies must not pile up for a peer that does not read. A closing link rejects them.
    if (parsed.reply && this.#window.allSent) this.send(parsed.reply).catch(() => {});
  }

  #acknowledged(ack: number): void {
    if (this.#window.acknowledged(ack) && this.#closing) this.#extendClosing();
  }

  /** While closing: the other peer is there, so it gets more time. */
  #extendClosing(): void {
    this.#closeTimeout.begin(this.#window.allAcknowledged ? closeTimeoutMs : patient.silentMs);
  }

  #channelLost(channel: FrameChannel, reason: RendezvousError): void {
    // A peer that has everything and our CLOSE may leave without an answer.
    if (!channel.open && channel.closeSent && this.#window.allAcknowledged) return this.end();
    this.#lose(reason);
    if (!channel.open) this.#keepalive.stop();
  }

  #lose(reason: RendezvousError): void {
    if (this.#lost || this.#closed) return;
    this.#lost = true;
    this.#keepalive.lost();
    this.#window.useChannel(undefined);
    this.onlost?.(reason);
  }

  #recover(): void {
    if (!this.#lost) return;
    this.#lost = false;
    this.onfound?.();
    if (!this.#closed && !this.#lost) this.#window.useChannel(this.#channel);
  }
}

const silence = (afterMs: number): RendezvousError =>
  new RendezvousError('peer_silent', `Received nothing from the other peer for ${Math.round(afterMs / 1_000)} s.`, {
    retryable: true,
  });

const unacknowledged = (): RendezvousError =>
  new RendezvousError(
    'session_lost',
    'The session closed before the other peer acknowledged the last messages, which may not have arrived.',
  );
