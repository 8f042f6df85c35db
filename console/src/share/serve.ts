import { computed, signal } from '@preact/signals';
import {
  type DiagnosticEvent,
  listen,
  type Listener,
  type MadeInvitation,
  type RemotePeer,
  type TransportState,
  type WebRTCServerTransport,
} from 'mcp-rendezvous';
import type { McpServer } from '@modelcontextprotocol/server';
import type { Faults } from './faults.ts';
import { type Access, withRelay } from '../mcp/connection.ts';
import { Journal } from '../observe/journal.ts';
import { observedRtc } from '../observe/rtc.ts';
import { observedSteps } from '../observe/steps.ts';

export interface Visitor {
  n: number;
  peer: RemotePeer;
  since: number;
  state: TransportState;
  /** It has proven that it has the end-to-end secret. */
  verified: () => boolean;
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
  #listener: Listener | undefined;

  /** Rejects, with the SDK's error, when the room cannot be joined. */
  async open(access: Access, createServer: (peer: RemotePeer) => McpServer, faults?: Faults): Promise<void> {
    const { journal } = this;
    const steps = observedSteps(journal);
    const options = {
      ...withRelay(access),
      rtc: observedRtc(journal, faults),
      ...(faults && { webSocket: faults.webSocket }),
      ondiagnostic: (event: DiagnosticEvent) => {
        if (event.type !== 'path_changed' || event.peer === this.visitors.value.at(-1)?.peer.id) steps(event);
      },
    };
    const listener = await listen(options, async (transport, peer) => {
      this.#watch(transport, peer);
      await createServer(peer).connect(transport);
    });
    this.state.value = 'open';
    listener.onerror = ({ code, message }) => journal.note(code, message);
    listener.onclose = (error) => {
      this.state.value = 'closed';
      journal.relay.value = 'none';
      if (error) journal.fail(error.code, error.message);
    };
    this.#listener = listener;
  }

  /**
   * Makes an invitation for one client.
   *
   * @throws RendezvousError `invite_forbidden` when the token does not allow it, `bad_option`
   *   without an invitation for this tab itself
   */
  async invite(): Promise<MadeInvitation> {
    if (!this.#listener) throw new Error('This tab is not shared.');
    return await this.#listener.invite();
  }

  /** Takes one back, and ends the sessions of its holder. */
  async revoke(id: string): Promise<void> {
    await this.#listener?.revoke(id);
  }

  /** Ends the newest connection as a broken network would: the session has to survive it. */
  cut(): void {
    this.journal.connection.value?.close();
  }

  async close(): Promise<void> {
    this.state.value = 'closed';
    await this.#listener?.close();
  }

  #watch(transport: WebRTCServerTransport, peer: RemotePeer): void {
    const n = this.seen.value++;
    const visitor: Visitor = {
      n,
      peer,
      since: Date.now(),
      state: 'connecting',
      verified: () => transport.peer?.verified ?? false,
      stats: () => transport.stats(),
    };
    this.visitors.value = [...this.visitors.value, visitor];
    // The drawing has one client: the newest.
    transport.onpathchange = (path) => n === this.seen.value - 1 && this.journal.moved(path);
    transport.onstatechange = (state) => {
      if (state === 'recovering' && n === this.seen.value - 1) this.journal.lost();
      if (state === 'closed' && n === this.seen.value - 1) this.journal.ended();
      this.visitors.value =
        state === 'closed'
          ? this.visitors.value.filter((other) => other.n !== n)
          : this.visitors.value.map((other) => (other.n === n ? { ...other, state } : other));
    };
  }
}
