import type { RendezvousError } from '../errors.ts';
import { parseDescription } from '../peer/description.ts';
import { readFraming } from '../peer/framing.ts';
import type { RelayChannel } from '../signaling/relay-channel.ts';
import type { RemotePeer } from '../signaling/relay-connection.ts';
import { rejectOffer } from './reject-offer.ts';
import type { Recovery } from './recovery.ts';

interface Kept {
  session: Recovery;
  remote: () => RemotePeer;
  /** The other side has another id now. */
  moved: (remote: RemotePeer, channel: RelayChannel) => void;
}

/** The sessions of a room's server whose clients may come back on another channel. */
export class SessionRegistry {
  readonly #kept = new Map<string, Kept>();

  keep(kept: Kept): void {
    if (kept.session.link.session) this.#kept.set(kept.session.link.session, kept);
  }

  forget(session: Recovery): void {
    if (session.link.session) this.#kept.delete(session.link.session);
  }

  /** Takes a channel whose offer is for a session of before. False: the offer is for a new one. */
  take(channel: RelayChannel, remote: RemotePeer, sdp: string): boolean {
    let name: string | undefined;
    try {
      name = readFraming(parseDescription(sdp).sdp)?.resume;
    } catch (error) {
      // Whose session may be meant hears that this offer was no good, and not that there is no session. Others are told by the negotiation.
      if (![...this.#kept.values()].some((kept) => isSame(kept.remote(), remote))) return false;
      rejectOffer(channel, 'failed', (error as RendezvousError).message);
      return true;
    }
    if (name === undefined) return false;
    const kept = this.#kept.get(name);
    // The other side is who it was when it has proven that, and not before.
    if (kept && isSame(kept.remote(), remote)) kept.session.adopt(channel, () => kept.moved(remote, channel));
    else rejectOffer(channel, 'no_session', 'This server does not have that session (any more).');
    return true;
  }
}

export const isSame = (before: RemotePeer, now: RemotePeer): boolean =>
  before.subject === now.subject && before.claims.iss === now.claims.iss;
