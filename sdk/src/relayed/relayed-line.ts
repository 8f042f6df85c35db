import { relayedHeaderBytes } from 'mcp-rendezvous-protocol';

export interface DataSocket {
  /** What this peer may send; undefined: nothing, or not joined yet. Bytes, of whole frames. */
  readonly relayedRate: { bytesPerSecond: number; burst: number } | undefined;
  readonly maxFrameBytes: number;
  /** Bytes that were given to the socket and have not left this machine. */
  readonly unsentBytes: number;
  sendRelayed(peer: string, payload: Uint8Array): boolean;
  onrelayed?: ((peer: string, payload: Uint8Array) => void) | undefined;
  oncut?: ((gone: boolean, peer?: string) => void) | undefined;
}

export interface LineUser {
  readonly peer: string;
  /** The negotiation that the path began in: it tells paths to one peer apart. */
  readonly gen: number;
  /** What is sent next, without what is in front of it; undefined: nothing now. */
  next(mostBytes: number): Uint8Array | undefined;
  /** What has come; empty when the other end has given the path up. */
  receive(data: Uint8Array): void;
  /**
   * What was sent, or is to come, may be lost.
   *
   * @param gone nothing comes any more: one of both ends has another id, or has left
   */
  cut(gone: boolean): void;
}

/**
 * How much may wait in the socket: signals that come after it wait, too, and the platform's
 * WebSocket does not say when it has room again.
 */
const mostUnsent = 65_536;
const pollMs = 5;
/** The largest piece of data in one frame of the relay. */
const mostPayload = 16_384;

/**
 * The relayed data of one relay connection: paced by the rate that the relay has named, shared by
 * turns among the paths that go over it.
 */
export class RelayedLine {
  readonly #socket: DataSocket;
  readonly #users = new Map<string, LineUser>();
  /** Those that may have something to send, in the order of their turns. */
  readonly #ready = new Set<LineUser>();
  /** When the bucket is full again: see the relay's own, which is the same. */
  #fullAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(socket: DataSocket) {
    this.#socket = socket;
    socket.onrelayed = (peer, payload) => {
      if (payload.length < genBytes) return;
      const gen = new DataView(payload.buffer, payload.byteOffset).getUint32(0);
      this.#users.get(nameOf({ peer, gen }))?.receive(payload.subarray(genBytes));
    };
    socket.oncut = (gone, peer) => {
      for (const user of this.#users.values()) if (peer === undefined || user.peer === peer) user.cut(gone);
    };
  }

  /** What this peer may send; undefined: the relay takes no data of it. */
  get rate(): DataSocket['relayedRate'] {
    return this.#socket.relayedRate;
  }

  add(user: LineUser): void {
    this.#users.set(nameOf(user), user);
  }

  delete(user: LineUser): void {
    if (this.#users.get(nameOf(user)) === user) this.#users.delete(nameOf(user));
    this.#ready.delete(user);
  }

  ready(user: LineUser): void {
    this.#ready.add(user);
    this.#pump();
  }

  /** Sends at once, for what is small: it counts, and later data waits the longer. */
  sendNow(user: LineUser, data: Uint8Array): boolean {
    const payload = new Uint8Array(genBytes + data.length);
    new DataView(payload.buffer).setUint32(0, user.gen);
    payload.set(data, genBytes);
    const bytes = relayedHeaderBytes(user.peer) + payload.length;
    if (this.rate) this.#fullAt = Math.max(this.#fullAt, performance.now()) + (bytes / this.rate.bytesPerSecond) * 1000;
    return this.#socket.sendRelayed(user.peer, payload);
  }

  #pump(): void {
    if (this.#timer !== undefined) return;
    for (const user of this.#ready) {
      const waitMs = this.#waitMs();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => {
          this.#timer = undefined;
          this.#pump();
        }, waitMs);
        return;
      }
      this.#ready.delete(user);
      const most = Math.min(mostPayload, this.#socket.maxFrameBytes - relayedHeaderBytes(user.peer) - genBytes);
      const data = user.next(most);
      if (!data) continue;
      // Behind those that wait already.
      this.#ready.add(user);
      this.sendNow(user, data);
    }
  }

  #waitMs(): number {
    const { rate } = this;
    if (!rate) return longMs;
    if (this.#socket.unsentBytes > mostUnsent) return pollMs;
    const allowed = ((rate.burst - mostPayload) / rate.bytesPerSecond) * 1000;
    return Math.max(0, Math.ceil(this.#fullAt - performance.now() - allowed));
  }
}

/** The number of the negotiation, in front of each piece of data. */
const genBytes = 4;
/** There is no socket, or none that takes data: its users hear that they are cut off. */
const longMs = 1_000;

const nameOf = ({ peer, gen }: Pick<LineUser, 'peer' | 'gen'>): string => `${gen} ${peer}`;
