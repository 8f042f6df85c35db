import { computed, signal } from '@preact/signals';
import { listen, type RemotePeer, type TransportState, type WebRTCServerTransport } from 'mcp-rendezvous';
import type { McpServer } from '@modelcontextprotocol/server';
import { Journal } from '../observe/journal.ts';
import { observedRtc } from '../observe/rtc.ts';
import { observedWebSocket } from '../observe/socket.ts';
import { relay } from '../place.ts';

export interface Visitor {
  n: number;
  peer: RemotePeer;
  since: number;
  state: TransportState;
  stats: WebRTCServerTransport['stats'];
}

/** This page as an MCP server: one server instance for each client that comes. */
export class Serving {
  /** Of the place in the room, and of the newest client's connection. */
  readonly journal = new Journal();
  readonly visitors = signal<Visitor[]>([]);
  /** How many came, those that left included. */
  readonly seen = signal(0);
  readonly state = signal<'joining' | 'open' | 'closed'>('joining');
  readonly connected = computed(() => this.visitors.value.some(({ state }) => state !== 'closed'));
  #close: (() => Promise<void>) | undefined;

  /** Rejects, with the SDK's error, when the room cannot be joined. */
  async open(token: string, secret: string | undefined, createServer: (peer: RemotePeer) => McpServer): Promise<void> {
    const { journal } = this;
    const options = {
      relay,
      token,
      rtc: observedRtc(journal),
      webSocket: observedWebSocket(journal),
      ...(secret && { secret }),
    };
    const listener = await listen(options, async (transport, peer) => {
      this.#watch(transport, peer);
      await createServer(peer).connect(transport);
    });
    this.state.value = 'open';
    listener.onerror = ({ code, message }) => journal.note(code, message);
    listener.onclose = (error) => {
      this.state.value = 'closed';
      if (error) journal.fail(error.code, error.message);
    };
    this.#close = () => listener.close();
  }

  /** Ends the newest connection as a broken network would: the session has to survive it. */
  cut(): void {
    this.journal.connection.value?.close();
  }

  async close(): Promise<void> {
    this.state.value = 'closed';
    await this.#close?.();
  }

  #watch(transport: WebRTCServerTransport, peer: RemotePeer): void {
    const n = this.seen.value++;
    const visitor: Visitor = { n, peer, since: Date.now(), state: 'connecting', stats: () => transport.stats() };
    this.visitors.value = [...this.visitors.value, visitor];
    transport.onstatechange = (state) => {
      if (state === 'connected') this.journal.mark('session');
      if (state === 'connected') this.journal.restored();
      if (state === 'recovering') this.journal.lost();
      this.visitors.value =
        state === 'closed'
          ? this.visitors.value.filter((other) => other.n !== n)
          : this.visitors.value.map((other) => (other.n === n ? { ...other, state } : other));
    };
  }
}
