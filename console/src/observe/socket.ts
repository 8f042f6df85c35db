import { readToken } from '../place.ts';
import type { Journal } from './journal.ts';

/** Journals by the role whose socket they are about. In one page there may be one of each. */
const journals = new Map<'server' | 'client', Journal>();

/**
 * Enters what the relay's sockets of a role do into a journal, from now on. The SDK uses the page's WebSocket, and has no option
 * to bring another one, so that it is the page's that is replaced: by one that behaves the same and is listened to.
 */
export function observeSockets(role: 'server' | 'client', journal: Journal): void {
  journals.set(role, journal);
  if (globalThis.WebSocket !== ObservedWebSocket) globalThis.WebSocket = ObservedWebSocket;
}

class ObservedWebSocket extends WebSocket {
  #journal: Journal | undefined;

  override send(data: string | BufferSource | Blob): void {
    // The first frame is the join, and its token says whose socket this is.
    if (!this.#journal && typeof data === 'string') this.#begin(data);
    this.#journal?.travel('to-relay');
    super.send(data);
  }

  #begin(join: string): void {
    const { token } = JSON.parse(join) as { token?: string };
    const role = readToken(token ?? '')?.role;
    const journal = role && journals.get(role);
    if (!journal) return;
    this.#journal = journal;
    journal.mark('relay');
    this.addEventListener('message', ({ data }) => {
      const heard = JSON.parse(data as string) as Heard;
      if (heard.type === 'joined') journal.mark('room');
      // The engine tells nothing of it: the offer may travel with the join, before anybody is there.
      if (tellsOfPeer(heard)) journal.mark('peer');
      journal.travel('from-relay');
    });
  }
}

/** What matters here of a frame of the relay: PROTOCOL.md §3. */
interface Heard {
  type?: unknown;
  /** Of a `peer` frame. */
  state?: unknown;
  /** Of a `joined` frame. */
  peers?: { state: unknown }[];
}

const tellsOfPeer = ({ type, state, peers = [] }: Heard): boolean =>
  type === 'peer' ? state === 'online' : peers.some((peer) => peer.state === 'online');
