import { RendezvousAuthError, RendezvousError, type Role, toRendezvousError } from 'mcp-rendezvous-protocol';
import { FramedLink } from '../link/framed.ts';
import { closeCode } from '../link/handshake.ts';
import type { Link, MessageMeta } from '../link/link.ts';
import type { JsonRpcMessage } from '../link/message.ts';
import { PlainLink } from '../link/plain.ts';
import { callHandler } from '../util/call-handler.ts';
import type { Engine } from '../peer/engine.ts';
import { closeConnection } from '../peer/negotiation.ts';
import { readStats, type TransportStats } from '../peer/stats.ts';
import { type RemotePeer, relayUrl } from '../signaling/relay-connection.ts';
import { authInfoOf } from './auth-info.ts';
import { withTimeout } from '../util/with-timeout.ts';
import { loadEngine } from './choose-engine.ts';
import { type Connected, type Connector, makesOffers } from './connector.ts';
import { onNetworkChange } from './network.ts';
import { keyOf } from './peer-secret.ts';
import { Recovery } from './recovery.ts';
import { SessionPeer } from './session-peer.ts';
import {
  type ConnectOptions,
  defaultMaxMessageBytes,
  type MessageExtra,
  type SendOptions,
  type SignalingOptions,
  type TransportOptions,
  type TransportState,
} from './types.ts';

/** Made when a transport starts. */
export type MakeConnector = (engine: Engine, onerror: (error: RendezvousError) => void) => Connector;

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
  readonly #abort = new AbortController();
  readonly #ended = Promise.withResolvers<void>();
  #onmessage: ((message: JsonRpcMessage, extra?: MessageExtra) => void) | undefined;
  #waiting: { message: JsonRpcMessage; meta: MessageMeta | undefined }[] = [];
  #state: TransportState = 'new';
  readonly #makeConnector: MakeConnector;
  #connector: Connector | undefined;
  #connected: Connected | undefined;
  #link: Link | undefined;
  /** What lies under the link and keeps it alive, in framed mode. */
  #session: { peer: SessionPeer; recovery: Recovery; unwatch: () => void } | undefined;
  /** What ended the link. */
  #failure: RendezvousError | undefined;
  #sessionName: string | undefined;
  readonly #pagehide = () => void this.close();

  /** @internal */
  protected constructor(role: Role, options: TransportOptions, makeConnector: MakeConnector) {
    checkOptions(options);
    if (!hasSignaling(options)) relayUrl(options);
    checkContext(options);
    if (typeof options.secret === 'function' && (role === 'client' || hasSignaling(options))) {
      throw new RendezvousError('bad_option', 'secret may be a function only for a server behind a relay.');
    }
    this.#role = role;
    this.#options = options;
    this.#makeConnector = makeConnector;
  }

  get state(): TransportState {
    return this.#state;
  }

  /** Who is at the other end, as the relay vouches for it. Undefined before the connection stands, and without a relay. */
  get peer(): RemotePeer | undefined {
    return this.#connected?.remote?.();
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
   * Connects. Rejects after `onclose`, within `connectTimeoutMs`: with a RendezvousError, or with the
   * reason of `signal` when that fires.
   */
  async start(): Promise<void> {
    if (this.#state !== 'new') {
      throw new RendezvousError('closed', 'A transport starts once. A new connection needs a new transport.');
    }
    this.#setState('connecting');
    try {
      await withTimeout(this.#options, async (limit) => {
        const signal = AbortSignal.any([this.#abort.signal, limit]);
        const engine = await loadEngine(this.#options.rtc);
        signal.throwIfAborted();
        const connector = this.#makeConnector(engine, (error) => this.#tellError(error));
        this.#connector = connector;
        this.#connected = await connector.connect(signal);
        await this.#open(connector, this.#connected, signal);
        this.#throwIfOver();
      });
    } catch (thrown) {
      const error = toRendezvousError(thrown, 'engine_failed', 'Connecting failed; see cause.');
      this.#end();
      // As the platform's own functions do, an aborted one rejects with the reason of the signal.
      throw error.code === 'aborted' && this.#options.signal?.aborted ? this.#options.signal.reason : error;
    }
    this.#setState('connected');
    page.addEventListener?.('pagehide', this.#pagehide);
    this.#flush();
  }

  /**
   * Sends a JSON-RPC message. Resolves when the data channel has taken it, which slows a sender down to what the other side
   * reads; while the state is `recovering` it may wait. Rejects with RendezvousError `closed`, or `message_too_large` (a response
   * that is too large is replaced by a JSON-RPC error instead).
   */
  async send(message: JsonRpcMessage, options?: SendOptions): Promise<void> {
    if (!this.#link) {
      throw new RendezvousError(
        'closed',
        this.#state === 'closed' ? 'The transport is closed.' : 'The transport is not started.',
      );
    }
    if (this.#refuseExpired()) throw tokenExpired();
    await this.#link.send(message, options);
  }

  /** Ends the session; what was sent before arrives. Idempotent, and allowed at any time. */
  async close(): Promise<void> {
    this.#abort.abort(new RendezvousError('closed', 'The transport was closed while it was connecting.'));
    if (this.#state === 'new') this.#end();
    else if (this.#state === 'connecting') await this.#ended.promise;
    else await this.#link?.close();
    // Otherwise start() is under way, and ends with the abort.
  }

  /** The same as `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Called by the MCP SDK after the handshake. */
  setProtocolVersion(_version: string): void {
    if (this.#sessionName) this.sessionId ??= this.#sessionName;
  }

  /** The network path in use and what went over it. Rejects with `closed` when there is no connection. */
  async stats(): Promise<TransportStats> {
    if (!this.#connected || this.#state === 'closed') {
      throw new RendezvousError('closed', 'Not connected.');
    }
    const stats = await readStats((this.#session?.peer ?? this.#connected.peer).connection);
    const roundTripMs = stats.roundTripMs ?? this.#session?.peer.link.roundTripMs;
    return { ...stats, ...(roundTripMs === undefined ? {} : { roundTripMs }) };
  }

  async #open(connector: Connector, connected: Connected, signal: AbortSignal): Promise<void> {
    const { peer, signaling, sessionName, secret, context, removed } = connected;
    // A connection that stands is no reason to go on: whoever removed the peer wants it to be cut off.
    void removed?.then((error) => this.#link?.end(error, closeCode.refused));
    const { maxMessageBytes = defaultMaxMessageBytes } = this.#options;
    if (!peer.framed) {
      if (secret !== undefined) throw cannotProve();
      const link = new PlainLink({ ...peer, maxMessageBytes });
      this.#adopt(link);
      this.#named(sessionName);
      return link.start();
    }
    const link = new FramedLink({ offerer: makesOffers(connector), maxMessageBytes, secret, context });
    this.#adopt(link);
    link.onlost = (reason) => link.end(reason); // until there is a session that can do better
    await link.attach(peer, signal);
    this.#throwIfOver(); // its CLOSE came with the end of the handshake: there is nothing to be kept alive
    this.#named(link.session ?? sessionName);
    if (!link.resumable) return;
    const sessionPeer = new SessionPeer(link, connector, peer, signaling);
    const onerror = (error: RendezvousError) => this.#tellError(error);
    const recovery = new Recovery(sessionPeer, { onstate: (state) => this.#setState(state), onerror });
    sessionPeer.onerror = onerror;
    link.onlost = (reason) => recovery.lost(reason);
    link.onfound = () => recovery.found();
    this.#session = { peer: sessionPeer, recovery, unwatch: onNetworkChange(() => recovery.networkChanged()) };
    connector.keep?.(sessionPeer);
  }

  #named(session: string): void {
    this.#sessionName = session;
    if (this.#role === 'server') this.sessionId = session;
  }

  #adopt(link: Link): void {
    this.#link = link;
    link.onmessage = (message, meta) => {
      this.#waiting.push({ message, meta });
      this.#flush();
    };
    link.onerror = (error) => this.#tellError(error);
    link.onclose = (error) => {
      const { removed } = this.#connected ?? {};
      if (error?.code !== 'peer_refused' || !removed) return this.#over(error);
      // Both ends hear of a removal. The other end's CLOSE may be here before the relay's word, which says why.
      const timer = setTimeout(() => this.#over(error), explainedWithinMs);
      void removed.then((reason) => {
        clearTimeout(timer);
        this.#over(reason);
      });
    };
  }

  /** The link has ended. */
  #over(error: RendezvousError | undefined): void {
    if (this.#state === 'closed') return;
    this.#failure = error;
    if (error) this.#tellError(error);
    this.#end();
  }

  #flush(): void {
    const { remote, room } = this.#connected ?? {};
    // Read from the property: a wrapper may have defined another one on this object.
    while (this.onmessage && this.#state !== 'connecting' && this.#waiting.length > 0) {
      if (this.#refuseExpired()) return;
      const { message, meta } = this.#waiting.shift()!;
      // Each time anew: the other side may have a fresh token.
      const authInfo = this.#role === 'server' && remote ? authInfoOf(remote(), room) : undefined;
      callHandler(() => this.onmessage?.(message, authInfo ? { ...meta, authInfo } : meta), undefined);
    }
  }

  /** A server answers to a token as long as that is valid; a client has nothing to refuse. */
  #refuseExpired(): boolean {
    if (this.#role !== 'server' || !this.#connected?.expired?.()) return false;
    this.#link?.end(tokenExpired());
    return true;
  }

  #end(): void {
    if (this.#state === 'closed') return;
    page.removeEventListener?.('pagehide', this.#pagehide);
    this.#session?.unwatch();
    this.#session?.recovery.end();
    this.#session?.peer.end();
    if (this.#connected && this.#state === 'connecting') closeConnection(this.#connected.peer.connection);
    this.#connector?.close();
    this.#ended.resolve();
    this.#setState('closed');
    callHandler(() => this.onclose?.(), undefined);
  }

  /** Connected and over in one turn; or close() came when there was nothing left to abort. */
  #throwIfOver(): void {
    this.#abort.signal.throwIfAborted();
    if (this.#state !== 'closed') return;
    throw this.#failure ?? new RendezvousError('peer_gone', 'The other peer closed the connection at once.');
  }

  #setState(state: TransportState): void {
    this.#state = state;
    callHandler(() => this.onstatechange?.(state), undefined);
  }

  #tellError(error: RendezvousError): void {
    callHandler(() => this.onerror?.(error), undefined);
  }
}

/** By its value: an application may name all options and leave some undefined. */
export const hasSignaling = (options: TransportOptions): options is ConnectOptions & SignalingOptions =>
  'signaling' in options && options.signaling !== undefined;

/** @throws RendezvousError `bad_option` */
function checkContext(options: TransportOptions): void {
  const { context } = options as Partial<SignalingOptions>;
  if (context === undefined) return;
  if (!hasSignaling(options)) {
    throw new RendezvousError(
      'bad_option',
      'context is for a signaling channel of your own. With a relay, leave it out.',
    );
  }
  if (typeof context !== 'string' || context === '' || context.length > 256 || !context.isWellFormed()) {
    throw new RendezvousError('bad_option', 'context must be a text of 1 to 256 characters.');
  }
}

/** How long an end that the other side calls a refusal waits for the relay to explain it. */
const explainedWithinMs = 500;
/** Below that there is no room for an answer that says that another one was too large. */
const leastMessageBytes = 1_024;

const tokenExpired = () =>
  new RendezvousAuthError(
    'token_expired',
    "The client's room token has expired, and it did not come with another one.",
  );

const cannotProve = () =>
  new RendezvousError(
    'secret_mismatch',
    'The other peer speaks plain mode, in which it cannot prove that it knows the secret. No MCP message was sent.',
  );

// A browser ends a closed tab's process without a word to the other side, which then notices when ICE fails: after 30 s.
const page = globalThis as Partial<Record<'addEventListener' | 'removeEventListener', PageListening>>;
type PageListening = (type: 'pagehide', listener: () => void) => void;

/** @throws RendezvousError `bad_option` */
export function checkOptions({ connectTimeoutMs, maxMessageBytes, iceTransportPolicy, secret }: ConnectOptions): void {
  if (connectTimeoutMs !== undefined && !(connectTimeoutMs > 0)) {
    throw new RendezvousError('bad_option', 'connectTimeoutMs must be a number above 0.');
  }
  if (
    maxMessageBytes !== undefined &&
    !(Number.isSafeInteger(maxMessageBytes) && maxMessageBytes >= leastMessageBytes)
  ) {
    throw new RendezvousError('bad_option', `maxMessageBytes must be an integer, ${leastMessageBytes} or more.`);
  }
  // An engine would take what it does not know for `all`, and show this machine's addresses.
  if (iceTransportPolicy !== undefined && !['all', 'relay'].includes(iceTransportPolicy)) {
    throw new RendezvousError('bad_option', "iceTransportPolicy must be 'all' or 'relay'.");
  }
  if (typeof secret !== 'function') keyOf(secret);
}
