import { type PeerClaims, RendezvousError } from 'mcp-rendezvous-protocol';

/** A peer in the room, as the relay vouches for it. */
export interface RemotePeer {
  readonly id: string;
  readonly subject: string;
  readonly claims: PeerClaims;
}

/**
 * Who may be signalled, as far as the relay has told: for a client the room's server, for the
 * server its clients.
 */
export class Peers {
  readonly #known = new Map<string, { peer: RemotePeer; online: boolean }>();
  readonly #arrivals = new Set<(peer: RemotePeer) => void>();

  get(id: string): RemotePeer | undefined {
    return this.#known.get(id)?.peer;
  }

  online(id: string): boolean {
    return this.#known.get(id)?.online === true;
  }

  *[Symbol.iterator](): Iterator<RemotePeer> {
    for (const { peer } of this.#known.values()) yield peer;
  }

  /**
   * Resolves with an online peer: at once, or as soon as one comes. Rejects with the signal's
   * reason when that fires first.
   */
  async anyOnline(signal: AbortSignal): Promise<RemotePeer> {
    for (const { peer, online } of this.#known.values()) if (online) return peer;
    return await new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        this.#arrivals.delete(arrived);
        signal.removeEventListener('abort', aborted);
        act();
      };
      const arrived = (peer: RemotePeer) => settle(() => resolve(peer));
      const aborted = () => settle(() => reject(signal.reason));
      this.#arrivals.add(arrived);
      if (signal.aborted) aborted();
      else signal.addEventListener('abort', aborted);
    });
  }

  /**
   * Records the presence of a peer.
   *
   * @param claims undefined keeps the previous ones
   * @returns undefined for a peer that was never introduced
   */
  note(id: string, state: 'online' | 'away', claims?: PeerClaims): RemotePeer | undefined {
    const peer = claims ? { id, subject: claims.sub, claims } : this.get(id);
    if (!peer) return undefined;
    this.#known.set(id, { peer, online: state === 'online' });
    if (state === 'online') for (const arrived of this.#arrivals) arrived(peer);
    return peer;
  }

  remove(id: string): RemotePeer | undefined {
    const peer = this.get(id);
    this.#known.delete(id);
    return peer;
  }

  clear(): void {
    this.#known.clear();
  }
}

/** Why sessions with a peer end that the operator removed. */
export const peerRemoved = (reason: 'kicked' | 'revoked'): RendezvousError =>
  new RendezvousError(
    'peer_removed',
    reason === 'kicked'
      ? 'The operator of the relay removed the other peer, so its session ended.'
      : "The operator of the relay revoked the other peer's token, so its session ended.",
  );
