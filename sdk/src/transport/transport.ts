import { RendezvousError, type Role } from 'mcp-rendezvous-protocol';
import { FramedLink } from '../link/framed.ts';
import { closeCode } from '../link/handshake.ts';
import { type Carrier, closedError, type Link, type MessageMeta } from '../link/link.ts';
import type { JsonRpcMessage } from '../link/message.ts';
import { PlainLink } from '../link/plain.ts';
import { callHandler } from '../util/call-handler.ts';
import { closeConnection } from '../peer/negotiation.ts';
import { readStats, type TransportStats } from '../peer/stats.ts';
import { relayUrl } from '../signaling/relay-connection.ts';
import { authInfoOf } from './auth-info.ts';
import { type Diagnose, diagnoseTo } from '../util/diagnostic.ts';
import { withTimeout } from '../util/with-timeout.ts';
import { loadEngine } from './choose-engine.ts';
import { type Connected, type Connector, type MakeConnector, makesOffers } from './connector.ts';
import { Delivery } from './delivery.ts';
import { reportFirstMessage } from './first-message.ts';
import { onNetworkChange } from './network.ts';
import { checkContext, checkOptions, hasSignaling } from './check-options.ts';
import { page } from './page.ts';
import { type KnownPath, PathReader } from './path-reader.ts';
import { Recovery } from './recovery.ts';
import { SessionPeer } from './session-peer.ts';
import { cannotProve, connectFailure, notOpen, tokenExpired } from './transport-errors.ts';
import {
  defaultMaxMessageBytes,
  type MessageExtra,
  type SendOptions,
  type Path,
  type PlainOptions,
  type TransportPeer,
  type TransportState,
} from './types.ts';

/**
 * The contract of an MCP transport over one data channel. It fits the `Transport` interface of both
 * MCP SDKs (v1 and v2) without importing either.
 */
export abstract class WebRTCTransport {
  /**
   * Called exactly once: after `close()`, when the other side closes, when the connection fails,
   * when `start()` rejects.
   */
  onclose?: (() => void) | undefined;
  /** Something went wrong that does not end the session. */
  onerror?: ((error: Error) => void) | undefined;
  onstatechange?: ((state: TransportState) => void) | undefined;
  /** The session has moved to another path: nothing is lost with that, and nothing comes twice. */
  onpathchange?: ((path: Path) => void) | undefined;
  /**
   * The name of the session. A client's is set by `setProtocolVersion`: set before, the MCP SDKs
   * would skip `initialize`.
   */
  sessionId?: string;

  readonly #role: Role;
  readonly #options: PlainOptions;
  readonly #abort = new AbortController();
  readonly #ended = Promise.withResolvers<void>();
  #onmessage: ((message: JsonRpcMessage, extra?: MessageExtra) => void) | undefined;
  readonly #delivery = new Delivery({
    // Read from the property: a wrapper may have defined another one on this object.
    ready: () => this.onmessage !== undefined && this.#state !== 'connecting' && !this.#refuseExpired(),
    take: (message, meta) => this.#take(message, meta),
  });
  #state: TransportState = 'new';
  readonly #makeConnector: MakeConnector;
  #connector: Connector | undefined;
  #connected: Connected | undefined;
  #link: Link | undefined;
  #carrier: Carrier | undefined;
  #path: Path | undefined;
  readonly #pathReader = new PathReader(
    () => this.stats(),
    (known) => this.#tellPath(known),
  );
  /** What lies under the link and keeps it alive, in framed mode. */
  #session: { peer: SessionPeer; recovery: Recovery; unwatch: () => void } | undefined;
  #failure: RendezvousError | undefined;
  /** Why the connection was lost before there was a recovery to hear of it. */
  #lostAtOnce: RendezvousError | undefined;
  #sessionName: string | undefined;
  #verified = false;
  readonly #diagnose: Diagnose;
  readonly #pagehide = () => void this.close();

  /** @internal */
  protected constructor(role: Role, options: PlainOptions, makeConnector: MakeConnector) {
    checkOptions(options);
    if (!hasSignaling(options)) relayUrl(options);
    checkContext(options);
    if (typeof options.secret === 'function' && (role === 'client' || hasSignaling(options))) {
      throw new RendezvousError('bad_option', 'secret may be a function only for a server behind a relay.');
    }
    this.#role = role;
    this.#options = options;
    this.#diagnose = diagnoseTo(options.ondiagnostic);
    this.#makeConnector = makeConnector;
  }

  get state(): TransportState {
    return this.#state;
  }

  /** Over what the data goes now, or went last. Undefined before the first path stands. */
  get path(): Path | undefined {
    return this.#path;
  }

  /**
   * Who is at the other end, as the relay vouches for it, and whether it has proven that it has the
   * secret. Undefined before the connection stands, and without a relay.
   */
  get peer(): TransportPeer | undefined {
    const remote = this.#connected?.remote?.();
    return remote && { ...remote, verified: this.#verified };
  }

  /**
   * Messages that come before a handler is set wait for it: an MCP SDK may set it late, or set
   * another one.
   */
  get onmessage(): ((message: JsonRpcMessage, extra?: MessageExtra) => void) | undefined {
    return this.#onmessage;
  }

  set onmessage(handler: ((message: JsonRpcMessage, extra?: MessageExtra) => void) | undefined) {
    this.#onmessage = handler;
    if (handler && this.#delivery.waits) queueMicrotask(() => this.#delivery.flush());
  }

  /**
   * Connects, and goes on when the relay is lost meanwhile. Rejects after `onclose`, within
   * `connectTimeoutMs`: with a RendezvousError, or with the reason of `signal` when that fires.
   */
  async start(): Promise<void> {
    if (this.#state !== 'new') {
      throw new RendezvousError('closed', 'A transport can start only once. Create a new one for a new connection.');
    }
    this.#setState('connecting');
    try {
      await withTimeout(this.#options, async (limit) => {
        const signal = AbortSignal.any([this.#abort.signal, limit]);
        const engine = await loadEngine(this.#options);
        // Made in any case: when it is closed, the other side hears that nobody is here.
        const connector = this.#makeConnector(engine, (error) => this.#tellError(error));
        this.#connector = connector;
        signal.throwIfAborted();
        await this.#connect(connector, signal);
        this.#throwIfOver();
      });
    } catch (thrown) {
      const error = connectFailure(thrown);
      this.#failure ??= error;
      this.#end();
      // As the platform's own functions do, an aborted one rejects with the reason of the signal.
      throw error.code === 'aborted' && this.#options.signal?.aborted ? this.#options.signal.reason : error;
    }
    this.#diagnose({ type: 'session_open', mode: this.#link instanceof FramedLink ? 'framed' : 'plain' });
    this.#setState('connected');
    if (this.#lostAtOnce) this.#session?.recovery.lost(this.#lostAtOnce);
    page.addEventListener?.('pagehide', this.#pagehide);
    this.#delivery.flush();
  }

  /**
   * Sends a JSON-RPC message. Resolves when the data channel has taken it, which slows a sender
   * down to what the other side reads; while the state is `recovering` it may wait. Rejects with
   * RendezvousError `closed`, or `message_too_large` (a response that is too large is replaced by a
   * JSON-RPC error instead).
   */
  async send(message: JsonRpcMessage, options?: SendOptions): Promise<void> {
    if (!this.#link) throw notOpen(this.#state);
    if (this.#refuseExpired()) throw tokenExpired();
    await this.#link.send(message, options);
  }

  /** Ends the session; what was sent before arrives. Idempotent, and allowed at any time. */
  async close(): Promise<void> {
    this.#abort.abort(new RendezvousError('closed', 'The transport was closed while it was connecting.'));
    if (this.#state === 'new') this.#end();
    else if (this.#state === 'connecting') await this.#ended.promise; // start() ends with the abort
    await this.#link?.close();
  }

  /** The same as `close()`, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Called by the MCP SDK after the handshake. */
  setProtocolVersion(_version: string): void {
    if (this.#sessionName) this.sessionId ??= this.#sessionName;
  }

  /**
   * The network path in use and what went over it. Rejects with `closed` when there is no
   * connection.
   */
  async stats(): Promise<TransportStats> {
    if (!this.#connected || this.#state === 'closed') {
      throw new RendezvousError('closed', 'Not connected.');
    }
    const roundTripMs = this.#session?.peer.link.roundTripMs;
    const { connection, relayed } = this.#carrier ?? this.#connected.first.carrier;
    if (relayed) {
      const { bytesSent, bytesReceived } = relayed;
      return { path: 'relayed', ...(roundTripMs === undefined ? {} : { roundTripMs }), bytesSent, bytesReceived };
    }
    const stats = await readStats(connection);
    return { ...(roundTripMs === undefined ? {} : { roundTripMs }), ...stats };
  }

  /** Connects again when the first path is lost while it opens, and the connector can go on. */
  async #connect(connector: Connector, signal: AbortSignal): Promise<void> {
    for (let lost: RendezvousError | undefined; ;) {
      this.#connected = await connector.connect(signal, lost);
      try {
        return await this.#open(connector, this.#connected, signal);
      } catch (error) {
        lost = connectFailure(error);
        if (this.#carrier || signal.aborted || !connector.mayReconnect?.(lost)) throw error;
        this.#connected.paths.supersede();
      }
    }
  }

  async #open(connector: Connector, connected: Connected, signal: AbortSignal): Promise<void> {
    const { first, paths, sessionName, secret, context, removed, left, watchSocket } = connected;
    // A connection that stands is no reason to go on: whoever removed the peer wants it to be cut
    // off.
    void removed?.then((error) => this.#link?.end(error, closeCode.refused));
    const { maxMessageBytes = defaultMaxMessageBytes } = this.#options;
    if (first.peer?.framed === false) {
      if (secret !== undefined) throw cannotProve();
      const link = new PlainLink({ ...first.peer, maxMessageBytes });
      this.#adopt(link);
      this.#named(sessionName);
      return link.start();
    }
    const begun = connected.begun ?? (await paths.begun());
    const link = new FramedLink({ offerer: makesOffers(connector), maxMessageBytes, secret, context, begun });
    link.fallsBack = begun !== undefined;
    this.#adopt(link);
    // Until there is a recovery, which hears of the loss when the session is connected.
    link.onlost = (reason) => {
      if (link.resumable) this.#lostAtOnce = reason;
      else link.end(reason);
    };
    link.onpath = (carrier) => this.#carried(carrier);
    await link.attach(first.carrier, signal);
    this.#verified = secret !== undefined;
    // Its CLOSE came with the end of the handshake: there is nothing to be kept alive.
    this.#throwIfOver();
    this.#named(link.session ?? sessionName);
    if (!link.resumable) return;
    const key = await link.pathKey();
    this.#throwIfOver(); // nobody would stop what begins now
    const sessionPeer = new SessionPeer(link, connector, connected, key);
    const onerror = (error: RendezvousError) => this.#tellError(error);
    const recovery = new Recovery(sessionPeer, { onstate: (state) => this.#setState(state), onerror });
    sessionPeer.onerror = onerror;
    link.onlost = (reason) => recovery.lost(reason);
    link.ondoubt = () => recovery.doubted();
    link.onfound = () => (link.relayed ? recovery.covered() : recovery.found());
    this.#session = { peer: sessionPeer, recovery, unwatch: onNetworkChange(() => recovery.networkChanged()) };
    connector.keep?.(sessionPeer);
    if (link.relayed) recovery.begin();
    void left?.then(() => recovery.left());
    watchSocket?.((closed) => recovery.socketClosed(closed));
  }

  #carried(carrier: Carrier): void {
    this.#carrier = carrier;
    if (carrier.relayed) this.#setPath('relayed');
    // Otherwise it is told with the state.
    if (this.#state === 'connected') this.#askPath();
  }

  #askPath(): void {
    const { relayed } = this.#carrier ?? {};
    if (!relayed) return this.#pathReader.ask(this.#path);
    // What is known is told at once: a reader of the events would take the session for lost.
    this.#pathReader.stop();
    this.#diagnose({ type: 'path_changed', path: 'relayed' });
  }

  #setPath(path: Path): void {
    if (this.#path === path || this.#state === 'closed') return;
    this.#path = path;
    this.#connector?.observer?.moved(path);
    callHandler(() => this.onpathchange?.(path), undefined);
  }

  #named(session: string): void {
    this.#sessionName = session;
    if (this.#role === 'server') this.sessionId = session;
  }

  #adopt(link: Link): void {
    this.#link = link;
    link.onmessage = (message, meta) => this.#delivery.add(message, meta);
    if (this.#options.ondiagnostic) reportFirstMessage(link, this.#diagnose);
    link.onerror = (error) => this.#tellError(error);
    link.onclose = (error) => {
      const { removed } = this.#connected ?? {};
      if (error?.code !== 'peer_refused' || !removed) return this.#over(error);
      // Both ends hear of a removal. The other end's CLOSE may be here before the relay's word,
      // which says why.
      const timer = setTimeout(() => this.#over(error), explainedWithinMs);
      void removed.then((reason) => {
        clearTimeout(timer);
        this.#over(reason);
      });
    };
  }

  #over(error: RendezvousError | undefined): void {
    if (this.#state === 'closed') return;
    this.#failure = error;
    if (error) this.#tellError(error);
    this.#end();
  }

  #take(message: JsonRpcMessage, meta: MessageMeta | undefined): void {
    const { remote, room } = this.#connected ?? {};
    // Each time anew: the other side may have a fresh token.
    const authInfo = this.#role === 'server' && remote ? authInfoOf(remote(), room) : undefined;
    callHandler(() => this.onmessage?.(message, authInfo ? { ...meta, authInfo } : meta), undefined);
  }

  /** A server answers to a token as long as that is valid; a client has nothing to refuse. */
  #refuseExpired(): boolean {
    if (this.#role !== 'server' || !this.#connected?.expired?.()) return false;
    this.#link?.end(tokenExpired());
    return true;
  }

  #end(): void {
    if (this.#state === 'closed') return;
    this.#connector?.observer?.ended(this.#failure);
    this.#delivery.flush('at once');
    page.removeEventListener?.('pagehide', this.#pagehide);
    this.#session?.unwatch();
    this.#session?.recovery.end();
    this.#session?.peer.end();
    if (this.#state === 'connecting') {
      const { first, paths } = this.#connected ?? {};
      if (!this.#session) paths?.supersede(closedError());
      if (this.#link) {
        // For the other side the session may have begun, so that it has to hear of the end.
        this.#link.onclose = () => {};
        this.#link.end();
      } else if (first) closeConnection(first.carrier.connection);
    }
    // The relay may tell of this peer's leaving sooner than it passes on the CLOSE before that.
    const told = this.#carrier?.relayed ? this.#link?.close() : undefined;
    if (told) void told.then(() => this.#connector?.close());
    else this.#connector?.close();
    this.#ended.resolve();
    this.#setState('closed');
    callHandler(() => this.onclose?.(), undefined);
  }

  /** Connected and over in one turn; or close() came when there was nothing left to abort. */
  #throwIfOver(): void {
    this.#abort.signal.throwIfAborted();
    if (this.#state !== 'closed') return;
    throw this.#failure ?? new RendezvousError('peer_gone', 'The other peer closed the connection immediately.');
  }

  #setState(state: Exclude<TransportState, 'new'>): void {
    this.#state = state;
    this.#diagnose({ type: 'state', state });
    if (state === 'connected') this.#askPath();
    else this.#pathReader.stop();
    callHandler(() => this.onstatechange?.(state), undefined);
  }

  #tellPath({ path, stats }: KnownPath): void {
    const { localCandidateType, remoteCandidateType, protocol } = stats ?? {};
    this.#setPath(path);
    if (path === 'turn' && this.#session?.peer.mayBeDirect) this.#session.recovery.detoured();
    if (!stats) return;
    this.#diagnose({
      type: 'path_changed',
      path,
      ...(localCandidateType === undefined ? {} : { localCandidateType }),
      ...(remoteCandidateType === undefined ? {} : { remoteCandidateType }),
      ...(protocol === undefined ? {} : { protocol }),
    });
  }

  #tellError(error: RendezvousError): void {
    callHandler(() => this.onerror?.(error), undefined);
  }
}

/** How long an end that the other side calls a rejection waits for the relay to explain it. */
const explainedWithinMs = 500;
