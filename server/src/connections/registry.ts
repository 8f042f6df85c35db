import { Rota } from './rota.ts';
import { type Connection, turnsPerPing } from './connection.ts';

/** How long a drain waits for peers after the last of them was to move, in milliseconds. */
const graceMs = 5000;

/** The sockets of an instance: how it looks after them, and how it parts from them. */
export class ConnectionRegistry {
  /** Has them all, until their sockets are closed: another list of them would be a hundredth of what they cost. */
  readonly #rota: Rota<Connection>;
  #size = 0;
  /** When the last peer is to move (milliseconds, monotonic), while this instance drains. */
  #movedBy: number | undefined;
  #emptied: PromiseWithResolvers<void> | undefined;

  /** @param pingIntervalMs in which each session is called on `turnsPerPing` times */
  constructor(pingIntervalMs: number) {
    const call = (session: Connection): void => session.guard(() => session.turn());
    this.#rota = new Rota<Connection>(pingIntervalMs / turnsPerPing, call);
  }

  /** No peer may join here any more. */
  get draining(): boolean {
    return this.#movedBy !== undefined;
  }

  /** Keeps a session whose socket is open; returns those that are called on together with it. */
  add(session: Connection): Set<Connection> {
    this.#size++;
    const turn = this.#rota.add(session);
    if (this.draining) session.end('going_away');
    return turn;
  }

  /** The socket of a session of that turn is closed. */
  delete(session: Connection, turn: Set<Connection>): void {
    turn.delete(session);
    if (--this.#size === 0) this.#emptied?.resolve();
  }

  /** While this instance drains: after how many milliseconds a peer that has just got its place is to move. */
  moveAfterMs(): number | undefined {
    if (this.#movedBy === undefined) return undefined;
    return Math.round(Math.random() * Math.max(0, this.#movedBy - performance.now()));
  }

  /**
   * Sends every peer to another instance, evenly over a time so that they do not arrive there all at once. Resolves when all
   * have gone, or a few seconds after the last one should have.
   *
   * @param windowMs 0: nobody is sent away or waited for
   */
  async drain(windowMs: number): Promise<void> {
    this.#movedBy = performance.now() + windowMs;
    if (windowMs === 0) return;
    const all = shuffled(this.#rota);
    const step = windowMs / all.length;
    for (const [place, session] of all.entries()) session.goAway(Math.round(step * (place + Math.random())));
    if (this.#size === 0) return;
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, windowMs + graceMs);
    await Promise.race([this.#empty(), late]);
    clearTimeout(timer);
  }

  /** Ends them all; resolves when the last socket is closed. */
  end(): Promise<void> {
    for (const session of this.#rota) session.end('going_away');
    return this.#empty();
  }

  /** Calls on nobody any more. */
  close(): void {
    this.#rota.close();
  }

  #empty(): Promise<void> {
    if (this.#size === 0) return Promise.resolve();
    this.#emptied ??= Promise.withResolvers<void>();
    return this.#emptied.promise;
  }
}

/** In random order (Fisher and Yates): who came first has no right to be sent away first. */
function shuffled<T>(items: Iterable<T>): T[] {
  const list = [...items];
  for (let last = list.length - 1; last > 0; last--) {
    const chosen = Math.floor(Math.random() * (last + 1));
    [list[last], list[chosen]] = [list[chosen] as T, list[last] as T];
  }
  return list;
}
