import { RendezvousError, toRendezvousError } from 'mcp-rendezvous-protocol';
import type { SessionState } from '../link/handshake.ts';
import type { Carrier } from '../link/link.ts';
import {
  closeConnection,
  type ConnectedPeer,
  type Offer,
  PeerNegotiation,
  type PeerOptions,
} from '../peer/negotiation.ts';
import type { RelayedOpening } from '../relayed/relayed-opening.ts';
import { wait } from '../util/abort.ts';

/** How long the relayed path may still come when the connection has failed. */
const relayedGraceMs = 5_000;
/** After these nothing comes any more. */
const finalCodes: ReadonlySet<string> = new Set([
  'aborted',
  'bad_option',
  'busy',
  'closed',
  'connect_timeout',
  'path_untrusted',
  'peer_refused',
  'secret_mismatch',
  'session_lost',
]);

export interface FirstPath {
  carrier: Carrier;
  /** Undefined: it is the relayed path, and the connection is still being made. */
  peer?: ConnectedPeer;
}

/**
 * One negotiation, which may lead to two paths: the relayed one with the first answer, and the
 * connection when ICE has found one.
 */
export class PathNegotiation {
  /** The connection. Whoever does not wait for it need not look at its rejection. */
  readonly connection: Promise<ConnectedPeer>;
  /** Called at most once, and not after the first path was the connection. */
  onrelayed: ((carrier: Carrier) => void) | undefined;
  readonly #negotiation: PeerNegotiation;
  readonly #opening: RelayedOpening | undefined;
  readonly #stopped = new AbortController();
  readonly #relayed = Promise.withResolvers<Carrier>();
  /** The first path was the connection. */
  #taken = false;

  /** @param opening undefined: there is no relayed path */
  constructor(options: PeerOptions, opening: RelayedOpening | undefined) {
    this.#opening = opening;
    if (opening) {
      opening.onopen = (carrier) => {
        this.#relayed.resolve(carrier);
        this.onrelayed?.(carrier);
      };
      opening.onfailed = (error) => this.#stopped.abort(error);
    }
    this.#negotiation = new PeerNegotiation(options);
    this.#negotiation.onfruitless = () => void this.#endWithRelayed();
    this.connection = this.#negotiation.run(this.#stopped.signal);
    this.connection.catch(() => {}); // see above
  }

  get gen(): number {
    return this.#negotiation.gen;
  }

  /** The session that a handshake of the relayed path has begun, if there was one. */
  async begun(): Promise<SessionState | undefined> {
    return await this.#opening?.begun;
  }

  /** Called for each handshake of the relayed path that begins a session, as soon as it has. */
  set onbegun(handler: ((session: SessionState) => void) | undefined) {
    if (this.#opening) this.#opening.onbegun = handler;
  }

  /**
   * Hands the signaling on to a session: what comes when this is over, and newer offers.
   *
   * @param over called at once if it is over already
   */
  handOver(over: () => void, offered: (offer: Offer) => void): void {
    this.#negotiation.onoffer = offered;
    if (this.#negotiation.settled) over();
    else this.#negotiation.onover = over;
  }

  /** Gives up the connection, and the relayed path unless it is open. */
  stop(reason: unknown): void {
    this.#opening?.end(toRendezvousError(reason, 'aborted', 'Connecting was aborted.'));
    this.#stopped.abort(reason);
  }

  /**
   * Another negotiation of the session takes its place, or none: a first path stays, and a
   * connection that has come since is nobody's.
   */
  supersede(reason: unknown = superseded()): void {
    this.#opening?.end();
    this.#stopped.abort(reason);
    // One that failed leaves nothing to close.
    if (!this.#taken) this.connection.then(({ connection }) => closeConnection(connection)).catch(() => {});
  }

  /** There will be no connection: the negotiation ends as soon as the relayed path is there. */
  async #endWithRelayed(): Promise<void> {
    // The handshake in an offer is read right behind the offer.
    await Promise.resolve();
    if (this.#opening?.possible(true)) {
      // Stopped meanwhile, it is over, too.
      const late = wait(relayedGraceMs, this.#stopped.signal).catch(() => {});
      await Promise.race([this.#relayed.promise, late]);
    }
    this.#stopped.abort(noneAllowed());
  }

  /** The first path that stands. Afterwards the signal has no effect. */
  async first(signal: AbortSignal): Promise<FirstPath> {
    const abort = () => this.stop(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    try {
      const relayed = this.#relayed.promise.then((carrier): FirstPath => ({ carrier }));
      const connected = this.connection
        .then((peer): FirstPath => ({ carrier: peer, peer }))
        .catch(async (thrown: unknown) => {
          const { code } = toRendezvousError(thrown, 'engine_failed', 'Connecting failed.');
          // The relayed path may be a round trip away when the connection is impossible. An abort
          // ends the wait, and `first` hears of it by itself.
          if (this.#opening?.possible(code === 'peer_gone') && !finalCodes.has(code))
            await wait(relayedGraceMs, signal).catch(() => {});
          throw thrown;
        });
      const first = await Promise.race([relayed, connected]);
      this.#taken = first.peer !== undefined;
      return first;
    } catch (error) {
      this.stop(error);
      throw error;
    } finally {
      signal.removeEventListener('abort', abort);
      // What is open stays open; what is not is late.
      this.#opening?.end();
    }
  }
}

const noneAllowed = (): RendezvousError =>
  new RendezvousError(
    'ice_failed',
    'The option paths and the ICE servers allow no connection, and there is no relayed path to the other peer: ' +
      'the relay or its token does not allow it, or the other peer cannot use it. Allow direct connections or add a TURN server.',
    { retryable: true },
  );

/** Why a connection that was being made is given up for another one. */
export const superseded = (): RendezvousError => new RendezvousError('aborted', 'Another connection is being made.');
