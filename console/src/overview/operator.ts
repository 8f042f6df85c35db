import { signal } from '@preact/signals';
import { ask, reach } from '../place.ts';
import { History } from './history.ts';
import { Invitations } from './invitations.ts';
import { type Metric, readMetrics, rejections } from './metrics.ts';
import type { Path } from './paths.ts';

export interface Room {
  issuer: string;
  room: string;
  server: 'online' | 'away' | null;
  clients: number;
}

export interface Resident {
  id: string;
  role: string;
  state: string;
  sub: string;
  jti?: string;
  since: number;
  expiresAt: number;
  /** When data was last relayed for it, in seconds since the epoch. */
  relayedAt?: number;
  /** Of a client's session, as the client reports it. */
  path?: Path;
  instance: string;
}

/**
 * Why the relay rejected a peer, or whoever had a token for the room; or why a session failed.
 */
export interface PeerError {
  /** The last time, in seconds since the epoch. */
  at: number;
  code: string;
  limit?: string;
  role: string;
  sub: string;
  times: number;
}

/** Who is in a room, and what went wrong there lately, the latest last. */
export interface Inside {
  peers: Resident[];
  errors: PeerError[];
}

interface Revocation {
  /** When tokens of this name count again, in seconds since the epoch. */
  until: number;
  /** How many peers were removed by it. */
  removed: number;
}

export interface Refusal {
  n: number;
  at: number;
  why: string;
  times: number;
}

const everyMs = 2000;
const pageSize = 50;
/** Rooms whose peers are asked for, each time, to count the instances. */
const lookedInto = 20;
const mostRefusals = 50;

/**
 * What an operator sees of the relay, asked again every two seconds. The token stays in this
 * object.
 */
export class Operator {
  readonly rooms = signal<Room[]>([]);
  readonly more = signal(false);
  readonly inside = signal<ReadonlyMap<string, Inside>>(new Map());
  readonly metrics = signal<Metric[]>([]);
  readonly history = new History();
  readonly invitations = new Invitations(this);
  readonly refused = signal<Refusal[]>([]);
  readonly error = signal('');
  readonly #token: string;
  readonly #stop = new AbortController();
  #rejected: Map<string, number> | undefined;
  #n = 0;

  constructor(token: string) {
    this.#token = token;
  }

  /** Rejects when the relay does not take the token. */
  async start(): Promise<void> {
    await this.refresh();
    const timer = setInterval(() => {
      if (!document.hidden)
        void this.refresh().catch((error: unknown) => (this.error.value = (error as Error).message));
    }, everyMs);
    this.#stop.signal.addEventListener('abort', () => clearInterval(timer));
  }

  stop(): void {
    this.#stop.abort();
  }

  async refresh(): Promise<void> {
    const [{ rooms, next }, text] = await Promise.all([
      this.#ask<{ rooms: Room[]; next: string | null }>('GET', `v1/rooms?limit=${pageSize}`),
      reach('metrics').then((response) => response.text()),
    ]);
    const inside = await Promise.all(
      rooms.slice(0, lookedInto).map(async (room) => [keyOf(room), await this.#lookInto(room)] as const),
    );
    this.rooms.value = rooms;
    this.more.value = next !== null;
    this.inside.value = new Map(inside);
    this.#read(readMetrics(text));
    this.error.value = '';
  }

  async kick(room: Room, peer: string): Promise<void> {
    await this.#ask(
      'DELETE',
      `v1/rooms/${encodeURIComponent(room.room)}/peers/${encodeURIComponent(peer)}${query(room)}`,
    );
    await this.refresh();
  }

  async revoke(by: 'jti' | 'sub' | 'room', value: string, issuer: string): Promise<Revocation> {
    const body = { [by]: value, ...(issuer && { issuer }) };
    const revocation = await this.#ask<Revocation>('POST', 'v1/revocations', body);
    await this.refresh();
    return revocation;
  }

  async issueToken(wanted: { room: string; role: string; sub: string; ttl: number; invite?: number }): Promise<string> {
    return (await this.#ask<{ token: string }>('POST', 'v1/tokens', wanted)).token;
  }

  #read(metrics: Metric[]): void {
    this.history.add(metrics);
    const found = rejections(metrics);
    const before = this.#rejected;
    if (before) {
      const added = [...found].flatMap(([why, count]) => {
        const times = count - (before.get(why) ?? 0);
        return times > 0 ? [{ n: ++this.#n, at: Date.now(), why, times }] : [];
      });
      if (added.length > 0) this.refused.value = [...this.refused.value, ...added].slice(-mostRefusals);
    }
    this.#rejected = found;
    this.metrics.value = metrics;
  }

  async #lookInto(room: Room): Promise<Inside> {
    try {
      return await this.#ask<Inside>('GET', `v1/rooms/${encodeURIComponent(room.room)}${query(room)}`);
    } catch {
      return { peers: [], errors: [] }; // the last one has left since the list came
    }
  }

  async #ask<T>(method: string, path: string, body?: object): Promise<T> {
    try {
      return await ask<T>(path, {
        method,
        headers: { authorization: `Bearer ${this.#token}`, ...(body && { 'content-type': 'application/json' }) },
        ...(body && { body: JSON.stringify(body) }),
      });
    } catch (error) {
      if ((error as Error).cause === 401)
        throw new Error('This is not the admin token of this relay.', { cause: error });
      throw error;
    }
  }
}

export const keyOf = ({ issuer, room }: Room): string => `${issuer}\n${room}`;

const query = ({ issuer }: Room): string => (issuer ? `?issuer=${encodeURIComponent(issuer)}` : '');
