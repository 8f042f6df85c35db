import { signal } from '@preact/signals';
import { at } from '../place.ts';
import { type Metric, readMetrics, refusals, sum } from './metrics.ts';

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
  instance: string;
}

export interface Rates {
  joins: number;
  signals: number;
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

/** What an operator sees of the relay, asked again every two seconds. The token stays in this object. */
export class Operator {
  readonly rooms = signal<Room[]>([]);
  readonly more = signal(false);
  readonly residents = signal<ReadonlyMap<string, Resident[]>>(new Map());
  readonly metrics = signal<Metric[]>([]);
  readonly rates = signal<Rates>({ joins: 0, signals: 0 });
  readonly refused = signal<Refusal[]>([]);
  readonly error = signal('');
  readonly #token: string;
  readonly #stop = new AbortController();
  #last: { at: number; joins: number; signals: number; refusals: Map<string, number> } | undefined;
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
      fetch(at('metrics')).then((response) => response.text()),
    ]);
    const residents = await Promise.all(
      rooms.slice(0, lookedInto).map(async (room) => [keyOf(room), await this.#peersOf(room)] as const),
    );
    this.rooms.value = rooms;
    this.more.value = next !== null;
    this.residents.value = new Map(residents);
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

  /** Answers with how many peers were removed by it. */
  async revoke(by: 'jti' | 'sub' | 'room', value: string, issuer: string): Promise<number> {
    const body = { [by]: value, ...(issuer && { issuer }) };
    const { removed } = await this.#ask<{ removed: number }>('POST', 'v1/revocations', body);
    await this.refresh();
    return removed;
  }

  async issueToken(room: string, role: string, sub: string, ttl: string): Promise<string> {
    return (await this.#ask<{ token: string }>('POST', 'v1/tokens', { room, role, sub, ttl })).token;
  }

  #read(metrics: Metric[]): void {
    const now = performance.now();
    const [joins, signals] = [sum(metrics, 'rendezvous_joins_total'), sum(metrics, 'rendezvous_signals_total')];
    const found = refusals(metrics);
    const last = this.#last;
    if (last) {
      const seconds = (now - last.at) / 1000;
      this.rates.value = { joins: (joins - last.joins) / seconds, signals: (signals - last.signals) / seconds };
      const added = [...found].flatMap(([why, count]) => {
        const times = count - (last.refusals.get(why) ?? 0);
        return times > 0 ? [{ n: ++this.#n, at: Date.now(), why, times }] : [];
      });
      if (added.length > 0) this.refused.value = [...this.refused.value, ...added].slice(-mostRefusals);
    }
    this.#last = { at: now, joins, signals, refusals: found };
    this.metrics.value = metrics;
  }

  async #peersOf(room: Room): Promise<Resident[]> {
    try {
      return (await this.#ask<{ peers: Resident[] }>('GET', `v1/rooms/${encodeURIComponent(room.room)}${query(room)}`))
        .peers;
    } catch {
      return []; // the last one has left since the list came
    }
  }

  async #ask<T>(method: string, path: string, body?: object): Promise<T> {
    const response = await fetch(at(path), {
      method,
      headers: { authorization: `Bearer ${this.#token}`, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    if (response.status === 204) return {} as T;
    const answer = (await response.json()) as T & { error?: { message?: string } };
    if (!response.ok) throw new Error(answer.error?.message ?? `The relay answered with HTTP ${response.status}.`);
    return answer;
  }
}

export const keyOf = ({ issuer, room }: Room): string => `${issuer}\n${room}`;

const query = ({ issuer }: Room): string => (issuer ? `?issuer=${encodeURIComponent(issuer)}` : '');
