import { signal } from '@preact/signals';
import type { TransportPeer, TransportState, TransportStats } from 'mcp-rendezvous';
import { Journal } from '../observe/journal.ts';
import { Meter } from '../observe/meter.ts';
import { observedRtc } from '../observe/rtc.ts';
import { observedSteps } from '../observe/steps.ts';
import { notLoaded, readToken, relay } from '../place.ts';
import { asText, type Message, Rpc, type Wire } from '../rpc/rpc.ts';
import { Trace } from '../rpc/trace.ts';
import type { Faults } from '../share/faults.ts';
import type { VersionChoice } from './dialect.ts';
import { McpSession } from './session.ts';

/** What opens a room. It stays in memory. */
export type Access =
  /** Made for this page's relay. */
  | { invitation: string }
  | {
      token: string;
      /** The end-to-end secret, if both sides have one. */
      secret?: string | undefined;
    };

export interface ConnectionOptions {
  /** For the role `client`. */
  access: Access;
  /** Only through TURN. */
  relayOnly?: boolean;
  /** @default automatic */
  version?: VersionChoice;
  /** Of the demonstration. */
  faults?: Faults | undefined;
}

/** How long the MCP server behind an open channel has for its first answer, in milliseconds. */
const firstAnswerMs = 30_000;

/**
 * This page as an MCP client: one connection, from the click to its end, and everything that can be
 * seen of it.
 */
export class Connection {
  readonly journal = new Journal();
  readonly trace = new Trace();
  readonly state = signal<TransportState>('new');
  readonly peer = signal<TransportPeer | undefined>(undefined);
  readonly session = signal<McpSession | undefined>(undefined);
  readonly meter: Meter;
  readonly #options: ConnectionOptions;
  readonly #ended = new AbortController();
  #dismissed = false;
  #stats = async (): Promise<TransportStats> => ({});

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.meter = new Meter(this.journal, () => this.#stats());
    this.trace.onmessage = (direction) => this.journal.travel(direction === 'out' ? 'to-peer' : 'from-peer');
  }

  /** Resolves when the MCP server has answered, or when it failed: `journal.failure` has why. */
  async open(): Promise<void> {
    const { journal } = this;
    const { access, relayOnly, faults, version = 'automatic' } = this.#options;
    try {
      const { WebRTCClientTransport } = await import('mcp-rendezvous').catch(notLoaded);
      const transport = new WebRTCClientTransport({
        ...withRelay(access),
        rtc: observedRtc(journal, faults),
        ...(faults && { webSocket: faults.webSocket }),
        ondiagnostic: observedSteps(journal),
        signal: this.#ended.signal,
        ...(relayOnly && { iceTransportPolicy: 'relay' }),
      });
      transport.onstatechange = (state) => this.#changed(state);
      transport.onpathchange = (path) => journal.moved(path);
      transport.onerror = (error) => journal.note((error as { code?: string }).code ?? 'error', error.message);
      this.#ended.signal.addEventListener('abort', () => void transport.close());
      this.#stats = () => transport.stats();
      // Wire has the same members with wider types, because it carries messages of any form.
      const session = new McpSession(new Rpc(this.#traced(transport as unknown as Wire)));
      this.meter.start(this.#ended.signal);
      await transport.start();
      this.peer.value = transport.peer;
      await session.open(version, AbortSignal.any([this.#ended.signal, AbortSignal.timeout(firstAnswerMs)]));
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
    if (state === 'closed') {
      const last = journal.notes.value.at(-1);
      const lost = this.state.value === 'recovering';
      journal.ended();
      journal.relay.value = 'none';
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

/** As the SDK's options have it. */
export function withRelay(access: Access) {
  if ('invitation' in access) return access;
  const { token, secret } = access;
  const claims = readToken(token)?.mapping;
  return { relay, token, ...(claims && { claims }), ...(secret !== undefined && { secret }) };
}

/**
 * What a bridge answers in place of a server that it cannot reach. No other code is taken from an
 * answer: a server could pass its own failure off as that of the relay.
 */
const bridged = new Set<unknown>(['server_failed', 'server_exited', 'server_unreachable', 'server_refused']);

/** Code and message of whatever was thrown. */
export function describe(error: unknown): [code: string, message: string] {
  const { code: own, message, name, data } = error as Partial<Record<'code' | 'message' | 'name' | 'data', unknown>>;
  const told = (data as { code?: unknown } | null | undefined)?.code;
  const code = bridged.has(told) ? told : own;
  if (name === 'TimeoutError') return ['no_answer', `The MCP server did not answer within ${firstAnswerMs / 1000} s.`];
  return [asText(code, 'failed'), asText(message, 'Something failed.')];
}
