import { RendezvousError, toRendezvousError } from '../errors.ts';
import type { JsonRpcMessage } from '../link/message.ts';
import { PlainLink } from '../link/plain.ts';
import type { Engine } from '../peer/engine.ts';
import { closeConnection, type ConnectedPeer } from '../peer/peer.ts';
import type { Role } from '../protocol/index.ts';
import { readStats, type TransportStats } from '../peer/stats.ts';
import { type RemotePeer, relayUrl } from '../signaling/relay.ts';
import { inTime } from './deadline.ts';
import { dialRelay, dialSignaling } from './dial.ts';
import { engineFor } from './rtc.ts';
import {
  type AuthInfo,
  type ConnectOptions,
  defaultMaxMessageBytes,
  type MessageExtra,
  type SendOptions,
  type TransportOptions,
  type TransportState,
} from './types.ts';

/** What dialling brings: an open data channel, who is at its other end, and how to let go of the signaling. */
export interface Dialled {
  peer: ConnectedPeer;
  engine: Engine;
  /** Who the relay says it is; undefined without a relay. */
  remote?: RemotePeer;
  room?: string | undefined;
  /** The MCP session's name, the same at both ends where there is a relay. */
  sessionId: string;
  release(): void;
}

/**
 * The contract of an MCP transport over one data channel. It fits the `Transport` interface of both MCP SDKs (v1 and v2)
 * without importing either.
 */
export abstract class WebRTCTransport {
  /** Called exactly once: after `close()`, when the other side closes, when the connection fails, when `start()` rejects. */
  onclose?: (() => void) | undefined;
  /** Something went wrong that does not end the session. */
  onerror?: ((error: Error) => void) | undefined;
  onstatechange?: ((state: TransportState) => void) | undefined;
  /** The name of the session. A client's is set by `setProtocolVersion`: set before, the MCP SDKs would skip `initialize`. */
  sessionId?: string;

  readonly #role: Role;
  readonly #options: TransportOptions;
  readonly #engine: Engine;
  readonly #abort = new AbortController();
  #onmessage: ((message: JsonRpcMessage, extra?: MessageExtra) => void) | undefined;
  #waiting: JsonRpcMessage[] = [];
  #state: TransportState = 'new';
  #dialled: Dialled | undefined;
  #link: PlainLink | undefined;
  #authInfo: AuthInfo | undefined;
  readonly #pagehide = () => void this.close();

  protected constructor(role: Role, options: TransportOptions) {
    checkOptions(options);
    if (!('signaling' in options)) relayUrl(options);
    this.#role = role;
    this.#options = options;
    this.#engine = engineFor(options.rtc);
  }

  /** Finds the other peer and opens the data channel. Rejects with a RendezvousError, or with the reason of `signal`. */
  protected async dial(signal: AbortSignal): Promise<Dialled> {
    const options = this.#options;
    return 'signaling' in options
      ? await dialSignaling(this.#role, this.#engine, options, signal)
      : await dialRelay(this.#role, this.#engine, options, signal, (error) => this.onerror?.(error));
  }

  /** Called as soon as the other side is known, for what an end of a session shows of it. */
  protected abstract opened(dialled: Dialled): { sessionId?: string; authInfo?: AuthInfo };

  get state(): TransportState {
    return this.#state;
  }

  /** Who is at the other end, as the relay vouches for it. Undefined before the connection stands, and without a relay. */
  get peer(): RemotePeer | undefined {
    return this.#dialled?.remote;
  }

  /** Messages that come before a handler is set wait for it: an MCP SDK may set it late, or set another one. */
  get onmessage(): ((message: JsonRpcMessage, extra?: MessageExtra) => void) | undefined {
    return this.#onmessage;
  }

  set onmessage(handler: ((message: JsonRpcMessage, extra?: MessageExtra) => void) | undefined) {
    this.#onmessage = handler;
    if (handler && this.#waiting.length > 0) queueMicrotask(() => this.#flush());
  }

  /**
   * Connects. Rejects with a RendezvousError, after `onclose`: within `connectTimeoutMs`, or when `signal` fires or `close()` is
   * called meanwhile.
   */
  async start(): Promise<void> {
    if (this.#state !== 'new') {
      throw new RendezvousError('closed', 'A transport starts once. A new connection needs a new transport.');
    }
    this.#setState('connecting');
    try {
      this.#dialled = await inTime(this.#options, (signal) => this.dial(AbortSignal.any([this.#abort.signal, signal])));
      // close() may have come when there was nothing left to abort, and no link yet to close.
      this.#abort.signal.throwIfAborted();
    } catch (thrown) {
      if (this.#dialled) closeConnection(this.#dialled.peer.connection);
      const error = toRendezvousError(thrown, 'engine_failed', 'Connecting failed; see cause.');
      this.#end();
      throw error;
    }
    this.#open(this.#dialled);
  }

  /**
   * Sends a JSON-RPC message. Resolves when the data channel has taken it, which slows a sender down to what the other side
   * reads. Rejects with RendezvousError `closed`, or `message_too_large` (a response that is too large is replaced by a
   * JSON-RPC error instead).
   */
  async send(message: JsonRpcMessage, _options?: SendOptions): Promise<void> {
    if (!this.#link) {
      throw new RendezvousError(
        'closed',
        this.#state === 'closed' ? 'The transport is closed.' : 'The transport is not started.',
      );
    }
    await this.#link.send(message);
  }

  /** Ends the session; what was sent before arrives. Idempotent, and allowed at any time. */
  async close(): Promise<void> {
    this.#abort.abort(new RendezvousError('closed', 'The transport was closed while it was connecting.'));
    if (this.#link) await this.#link.close();
    else if (this.#state === 'new') this.#end();
    // Otherwise start() is under way, and ends with the abort.
  }

  /** Called by the MCP SDK after the handshake. */
  setProtocolVersion(_version: string): void {
    if (this.#dialled) this.sessionId ??= this.#dialled.sessionId;
  }

  /** The network path in use and what went over it. Rejects with `closed` when there is no connection. */
  async stats(): Promise<TransportStats> {
    if (!this.#dialled || this.#state === 'closed') {
      throw new RendezvousError('closed', 'There is no connection to tell about.');
    }
    return await readStats(this.#dialled.peer.connection);
  }

  #open(dialled: Dialled): void {
    const { sessionId, authInfo } = this.opened(dialled);
    if (sessionId !== undefined) this.sessionId = sessionId;
    this.#authInfo = authInfo;
    const link = new PlainLink({
      ...dialled.peer,
      engine: dialled.engine,
      maxMessageBytes: this.#options.maxMessageBytes ?? defaultMaxMessageBytes,
    });
    this.#link = link;
    link.onmessage = (message) => {
      this.#waiting.push(message);
      this.#flush();
    };
    link.onerror = (error) => this.onerror?.(error);
    link.onclose = () => this.#end();
    this.#setState('connected');
    page.addEventListener?.('pagehide', this.#pagehide);
    link.start();
  }

  #flush(): void {
    while (this.#onmessage && this.#waiting.length > 0) {
      const message = this.#waiting.shift()!;
      try {
        this.#onmessage(message, this.#authInfo ? { authInfo: this.#authInfo } : undefined);
      } catch (error) {
        // The handler's own fault, as in an event handler: the messages behind it arrive all the same.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  #end(): void {
    if (this.#state === 'closed') return;
    page.removeEventListener?.('pagehide', this.#pagehide);
    this.#dialled?.release();
    try {
      this.#setState('closed');
    } finally {
      this.onclose?.(); // whatever the other handler throws: the MCP SDK waits for it with every request that is open
    }
  }

  #setState(state: TransportState): void {
    this.#state = state;
    this.onstatechange?.(state);
  }
}

// A browser ends a closed tab's process without a word to the other side, which then notices when ICE fails: after 30 s.
const page = globalThis as Partial<Record<'addEventListener' | 'removeEventListener', PageListening>>;
type PageListening = (type: 'pagehide', listener: () => void) => void;

/** @throws RendezvousError `bad_option` */
export function checkOptions({ connectTimeoutMs, maxMessageBytes }: ConnectOptions): void {
  positive('connectTimeoutMs', connectTimeoutMs);
  positive('maxMessageBytes', maxMessageBytes);
}

function positive(name: string, value: number | undefined): void {
  if (value !== undefined && !(value > 0)) throw new RendezvousError('bad_option', `${name} must be a number above 0.`);
}
