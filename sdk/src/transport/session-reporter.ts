import type { RendezvousError } from 'mcp-rendezvous-protocol';
import type { RelayConnection, RemotePeer } from '../signaling/relay-connection.ts';
import { type Clock, systemClock } from '../util/clock.ts';
import type { SessionObserver } from './connector.ts';
import { sameSubject } from './relayed-peer.ts';
import type { Path } from './types.ts';

/**
 * Nearly every session begins on the relayed path. One that is still on it after so long mostly
 * stays there.
 */
const settledMs = 5_000;
/** Ends that the application wanted. */
const wanted: ReadonlySet<string> = new Set(['closed', 'aborted']);

type Relay = Pick<RelayConnection, 'report' | 'peers' | 'onready'>;

/**
 * Reports to the relay over which path a client's session goes, and why it failed, for the relay's
 * operator (PROTOCOL.md §3, `connected`). Nothing waits for that, and nothing depends on it.
 */
export class SessionReporter implements SessionObserver {
  readonly #relay: Relay;
  readonly #server: () => RemotePeer | undefined;
  readonly #clock: Clock;
  #path: Path | undefined;
  #cancelSettling: (() => void) | undefined;

  /** @param server the one that the session is with, or that it was to be with */
  constructor(relay: Relay, server: () => RemotePeer | undefined, clock: Clock = systemClock) {
    this.#relay = relay;
    this.#server = server;
    this.#clock = clock;
    // Under a new id, or at a relay that has started again, nothing is known of the session.
    relay.onready = () => this.#tell();
  }

  moved(path: Path): void {
    this.#settle();
    this.#path = path;
    if (path !== 'relayed') return this.#tell();
    this.#cancelSettling = this.#clock.after(settledMs, () => {
      this.#settle();
      this.#tell();
    });
  }

  ended(error: RendezvousError | undefined): void {
    if (this.#cancelSettling) {
      this.#settle();
      this.#tell();
    }
    this.#path = undefined;
    const peer = this.#present?.id;
    if (peer === undefined || !error || wanted.has(error.code)) return;
    this.#relay.report({ type: 'failed', peer, code: error.code });
  }

  #settle(): void {
    this.#cancelSettling?.();
    this.#cancelSettling = undefined;
  }

  /** The relay ignores what it knows already. */
  #tell(): void {
    const peer = this.#present?.id;
    if (peer === undefined || this.#path === undefined || this.#cancelSettling) return;
    this.#relay.report({ type: 'connected', peer, path: this.#path });
  }

  /** The server, if it is in the room: it may have another id by now. */
  get #present(): RemotePeer | undefined {
    const server = this.#server();
    if (!server) return undefined;
    for (const peer of this.#relay.peers()) if (sameSubject(peer, server)) return peer;
    return undefined;
  }
}
