import type { RelayErrorCode } from 'mcp-rendezvous-protocol';

/** How long a drain waits for peers after the last one was asked to move, in milliseconds. */
const graceMs = 5000;

/** What the registry needs of a connection. None of these may throw. */
export interface Registered {
  check(now: number): void;
  goAway(afterMs: number): void;
  end(code: RelayErrorCode): void;
}

/** Tracks the open connections of this instance: keepalive and drain. */
export class ConnectionRegistry {
  readonly #connections = new Set<Registered>();
  readonly #timer: NodeJS.Timeout;
  /** When the last peer has to move (milliseconds, monotonic), while this instance drains. */
  #movedBy: number | undefined;
  #emptied: PromiseWithResolvers<void> | undefined;

  /** @param checkMs how often every connection is checked, in milliseconds */
  constructor(checkMs: number) {
    this.#timer = setInterval(() => {
      const now = performance.now();
      for (const connection of this.#connections) connection.check(now);
    }, checkMs);
    // The sockets keep the process alive.
    this.#timer.unref();
  }

  get draining(): boolean {
    return this.#movedBy !== undefined;
  }

  add(connection: Registered): void {
    this.#connections.add(connection);
    if (this.draining) connection.end('going_away');
  }

  delete(connection: Registered): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#emptied?.resolve();
  }

  /** While this instance drains: when a peer that has just joined has to move, in milliseconds. */
  moveAfterMs(): number | undefined {
    if (this.#movedBy === undefined) return undefined;
    return Math.round(Math.random() * Math.max(0, this.#movedBy - performance.now()));
  }

  /**
   * Asks every peer to move to another instance, spread evenly so that they do not arrive there all
   * at once. Resolves when all have gone, or a few seconds after the last one should have.
   *
   * @param windowMs 0: peers are neither asked nor waited for
   */
  async drain(windowMs: number): Promise<void> {
    this.#movedBy = performance.now() + windowMs;
    if (windowMs === 0) return;
    // In random order, so that no peer is always the first to move.
    const drawn = Array.from(this.#connections, (connection) => ({ connection, lot: Math.random() }));
    const step = windowMs / drawn.length;
    for (const [place, { connection }] of drawn.toSorted((a, b) => a.lot - b.lot).entries()) {
      connection.goAway(Math.round(step * (place + Math.random())));
    }
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, windowMs + graceMs);
    await Promise.race([this.#empty(), late]);
    clearTimeout(timer);
  }

  /** Ends all connections; resolves when the last socket is closed. */
  end(): Promise<void> {
    for (const connection of this.#connections) connection.end('going_away');
    return this.#empty();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #empty(): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve();
    this.#emptied ??= Promise.withResolvers<void>();
    return this.#emptied.promise;
  }
}
