import type { PeerClaims } from 'mcp-rendezvous-protocol';

/** A peer in the room, as the relay vouches for it. */
export interface RemotePeer {
  readonly id: string;
  /** The `sub` of its token. */
  readonly subject: string;
  readonly claims: PeerClaims;
}

/** Who may be signalled, as far as the relay has told: for a client the room's server, for the server its clients. */
export class Peers {
  readonly #known = new Map<string, { peer: RemotePeer; online: boolean }>();
  readonly #arrivals = new Set<(peer: RemotePeer) => void>();

  /** A peer, online or away, with the claims of its latest token. */
  get(id: string): RemotePeer | undefined {
    return this.#known.get(id)?.peer;
  }

  /** Whether a peer is in the room with its socket up. */
  online(id: string): boolean {
    return this.#known.get(id)?.online === true;
  }

  /** Every peer, online or away. */
  *[Symbol.iterator](): Iterator<RemotePeer> {
    for (const { peer } of this.#known.values()) yield peer;
  }

  /** Resolves with an online peer: at once, or as soon as one comes. Rejects with the signal's reason when that fires first. */
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
   * What the relay says of a peer.
   *
   * @param claims undefined: those that it had
   * @returns undefined for one that was never introduced
   */
  note(id: string, state: 'online' | 'away', claims?: PeerClaims): RemotePeer | undefined {
    const peer = claims ? { id, subject: claims.sub, claims } : this.get(id);
    if (!peer) return undefined;
    this.#known.set(id, { peer, online: state === 'online' });
    if (state === 'online') for (const arrived of this.#arrivals) arrived(peer);
    return peer;
  }

  /** The peer that this was, if it was known. */
  remove(id: string): RemotePeer | undefined {
    const peer = this.get(id);
    this.#known.delete(id);
    return peer;
  }

  clear(): void {
    this.#known.clear();
  }
}
