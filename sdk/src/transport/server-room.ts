import type { ByeCode, RendezvousError } from 'mcp-rendezvous-protocol';
import { parseDescription } from '../peer/description.ts';
import { readFraming } from '../peer/framing.ts';
import { RelayedLine } from '../relayed/relayed-line.ts';
import type { RelayChannel } from '../signaling/relay-channel.ts';
import { RelayConnection, type RelayOptions, type RemotePeer } from '../signaling/relay-connection.ts';
import type { ResumableSession } from './connector.ts';
import { sameSubject } from './relayed-peer.ts';

export interface Arrival {
  channel: RelayChannel;
  client: RemotePeer;
}

/** A session whose client may come back on another channel. */
interface KeptSession {
  session: ResumableSession;
  client: () => RemotePeer;
  /** The client has proven that it is the same under another id. */
  moved: (client: RemotePeer) => void;
}

/**
 * A server's place in a room: where clients arrive, and where those of before come back to their
 * sessions.
 */
export class ServerRoom {
  /**
   * A client that has no session here makes an offer. The handler sets the channel's handlers at
   * once.
   */
  onarrival: ((arrival: Arrival) => void) | undefined;
  readonly relay: RelayConnection;
  readonly line: RelayedLine;
  readonly #kept = new Map<string, KeptSession>();

  /** @throws RendezvousError `bad_option` */
  constructor(options: RelayOptions) {
    this.relay = new RelayConnection(options, 'server');
    this.line = new RelayedLine(this.relay);
    // Set before the room is joined: an offer may come in one read with `joined`.
    this.relay.onchannel = (channel, client, sdp) => this.#arrived({ channel, client }, sdp);
  }

  /** Takes later offers for a session to it. Returns what ends that. */
  keep(kept: KeptSession): () => void {
    const { name } = kept.session;
    if (name === undefined) return () => {};
    this.#kept.set(name, kept);
    return () => {
      if (this.#kept.get(name) === kept) this.#kept.delete(name);
    };
  }

  /** Nobody else is let in. */
  shut(): void {
    this.relay.onchannel = undefined;
  }

  #arrived(arrival: Arrival, sdp: string): void {
    const { channel, client } = arrival;
    let name: string | undefined;
    try {
      name = readFraming(parseDescription(sdp).sdp)?.resume;
    } catch (error) {
      // A client whose session may be meant hears that this offer was no good, and not that there
      // is no session. Any other client hears it from the negotiation.
      const mayBeResumed = [...this.#kept.values()].some((kept) => sameSubject(kept.client(), client));
      if (mayBeResumed) return rejectOffer(channel, 'failed', (error as RendezvousError).message);
    }
    if (name === undefined) this.onarrival?.(arrival);
    else this.#resume(name, channel, client);
  }

  #resume(name: string, channel: RelayChannel, client: RemotePeer): void {
    const kept = this.#kept.get(name);
    if (!kept || !sameSubject(kept.client(), client)) {
      return rejectOffer(channel, 'no_session', 'This server does not have the session, or no longer has it.');
    }
    // The other side is who it was once it has proven that, and not before.
    kept.session.adopt(channel, () => {
      channel.patient = true;
      kept.moved(client);
    });
  }
}

/**
 * Tells a client, in answer to its first signal, that it is not taken, so that it need not wait.
 */
export function rejectOffer(channel: RelayChannel, code: ByeCode, message: string): void {
  channel.over = true;
  channel.onmessage = ({ gen }) => {
    channel.onmessage = undefined;
    // The client has gone: nobody is left to be told.
    channel.send({ kind: 'bye', gen, code, message }).catch(() => {});
  };
  channel.start().catch(() => {}); // the same
}
