import type { Journal } from './journal.ts';

/** The page's WebSocket, which also enters into a journal what goes over it. For the SDK's option `webSocket`. */
export const observedWebSocket = (journal: Journal): typeof WebSocket =>
  class extends WebSocket {
    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, protocols);
      this.addEventListener('open', () => journal.mark('relay'));
      this.addEventListener('message', ({ data }) => {
        const heard = JSON.parse(data as string) as Heard;
        if (heard.type === 'joined') journal.mark('room');
        // The engine does not tell: the offer may travel with the join, before anybody is there.
        if (tellsOfPeer(heard)) journal.mark('peer');
        journal.travel('from-relay');
      });
    }

    override send(data: string | BufferSource | Blob): void {
      journal.travel('to-relay');
      super.send(data);
    }
  };

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
