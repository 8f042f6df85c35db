import { signal } from '@preact/signals';
import type { RemotePeer, TransportState } from 'mcp-rendezvous';
import { Journal } from '../observe/journal.ts';
import { Meter } from '../observe/meter.ts';
import { observedRtc } from '../observe/rtc.ts';
import { observedWebSocket } from '../observe/socket.ts';
import { relay } from '../place.ts';
import { asText, type Message, Rpc, type Wire } from '../rpc/rpc.ts';
import { Trace } from '../rpc/trace.ts';
import { McpSession } from './session.ts';

export interface ConnectionOptions {
  /** A room token for the role `client`. It stays in memory. */
  token: string;
  /** The end-to-end secret, if both sides have one. */
  secret?: string;
  /** Only through TURN. */
  relayOnly?: boolean;
}

/** How long the MCP server behind an open channel has for its first answer, in milliseconds. */
const firstAnswerMs = 30_000;

/** This page as an MCP client: one connection, from the click to its end, and everything that can be seen of it. */
export class Connection {
  readonly journal = new Journal();
  readonly trace = new Trace();
  readonly state = signal<TransportState>('new');
  readonly peer = signal<RemotePeer | undefined>(undefined);
  readonly session = signal<McpSession | undefined>(undefined);
  readonly meter: Meter;
  readonly #options: ConnectionOptions;
  readonly #ended = new AbortController();
  #dismissed = false;
  #roundTripMs = async (): Promise<number | undefined> => undefined;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.meter = new Meter(this.journal, () => this.#roundTripMs());
    this.trace.onmessage = (direction) => this.journal.travel(direction === 'out' ? 'to-peer' : 'from-peer');
  }

  /** Resolves when the MCP server has answered, or when it failed: `journal.failure` has why. */
  async open(): Promise<void> {
    const { journal } = this;
    const { token, secret, relayOnly } = this.#options;
    try {
      const { WebRTCClientTransport } = await import('mcp-rendezvous');
      const transport = new WebRTCClientTransport({
        relay,
        token,
        rtc: observedRtc(journal),
        webSocket: observedWebSocket(journal),
        signal: this.#ended.signal,
        ...(secret && { secret }),
        ...(relayOnly && { iceTransportPolicy: 'relay' }),
      });
      transport.onstatechange = (state) => this.#changed(state);
      transport.onerror = (error) => journal.note((error as { code?: string }).code ?? 'error', error.message);
      this.#ended.signal.addEventListener('abort', () => void transport.close());
      this.#roundTripMs = async () => (await transport.stats()).roundTripMs;
      const session = new McpSession(new Rpc(this.#traced(transport as unknown as Wire))); // the same members, less exactly typed
      this.meter.start(this.#ended.signal);
      await transport.start();
      journal.mark('session');
      this.peer.value = transport.peer;
      await session.initialize(AbortSignal.any([this.#ended.signal, AbortSignal.timeout(firstAnswerMs)]));
      journal.mark('first');
      this.session.value = session;
    } catch (error) {
      if (!this.#dismissed) journal.fail(...describe(error));
      this.#ended.abort();
    }
  }

  /** Ends it, which is no failure. */
  close(): void {
    this.#dismissed = true;
    this.#ended.abort();
  }

  #changed(state: TransportState): void {
    const { journal } = this;
    if (state === 'recovering') journal.lost();
    if (state === 'connected') journal.restored();
    if (state === 'closed') {
      const last = journal.notes.value.at(-1);
      const lost = journal.recoveries.value.at(-1)?.outcome === 'running';
      journal.ended();
      if (lost) journal.fail('session_lost', last?.message ?? 'The connection was lost and did not come back in time.');
      this.#ended.abort();
    }
    this.state.value = state;
  }

  #traced(transport: Wire): Wire {
    const wire: Wire = {
      send: (message) => {
        this.trace.add('out', message);
        return transport.send(message);
      },
    };
    transport.onmessage = (message: Message) => {
      this.trace.add('in', message);
      wire.onmessage?.(message);
    };
    transport.onclose = () => wire.onclose?.();
    return wire;
  }
}

/** Code and message of whatever was thrown. */
export function describe(error: unknown): [code: string, message: string] {
  const { code, message, name } = error as { code?: unknown; message?: unknown; name?: unknown };
  if (name === 'TimeoutError') return ['no_answer', `The MCP server sent no answer within ${firstAnswerMs / 1000} s.`];
  return [asText(code, 'failed'), asText(message, 'Something failed.')];
}
