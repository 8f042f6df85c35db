import { signal } from '@preact/signals';
import type { TransportStats } from 'mcp-rendezvous';
import type { Journal } from './journal.ts';

/** One reading, a second after the one before. */
export interface Sample {
  roundTripMs: number | undefined;
  /** Bytes a second. */
  sent: number;
  received: number;
  /** Bytes that wait to be sent. */
  buffered: number;
}

export interface Candidate {
  type: string;
  protocol: string;
  address: string;
}

export interface CandidatePair {
  id: string;
  state: string;
  selected: boolean;
  local: Candidate;
  remote: Candidate;
  roundTripMs: number | undefined;
  bytes: number;
}

const everyMs = 1000;
const kept = 60;
const mostPairs = 30;

/**
 * Reads a connection's statistics every second: for the figures, the list of pairs, and the path
 * that is drawn.
 */
export class Meter {
  readonly samples = signal<Sample[]>([]);
  readonly pairs = signal<CandidatePair[]>([]);
  readonly total = signal({ sent: 0, received: 0 });
  readonly #journal: Journal;
  readonly #stats: () => Promise<TransportStats>;
  #last: { source: unknown; at: number; sent: number; received: number } | undefined;
  /** Bytes of connections that were given up. */
  #before = { sent: 0, received: 0 };

  /** @param stats of the transport */
  constructor(journal: Journal, stats: () => Promise<TransportStats>) {
    this.#journal = journal;
    this.#stats = stats;
  }

  get selected(): CandidatePair | undefined {
    return this.pairs.value.find((pair) => pair.selected);
  }

  /** Until `ended`. */
  start(ended: AbortSignal): void {
    let reading = false;
    const read = async (): Promise<void> => {
      if (reading) return;
      reading = true;
      // A connection that is closed meanwhile has no statistics; the next reading is of another
      // one, or there is none.
      await this.#read().catch(() => {});
      reading = false;
    };
    const timer = setInterval(() => void read(), everyMs);
    ended.addEventListener('abort', () => clearInterval(timer));
    void read();
  }

  async #read(): Promise<void> {
    // A session that has ended has no figures.
    const { path, roundTripMs, bytesSent = 0, bytesReceived = 0 } = await this.#stats();
    if (path === 'relayed') {
      this.pairs.value = [];
      return this.#sample('relayed', bytesSent, bytesReceived, roundTripMs);
    }
    const connection = this.#journal.connection.peek();
    if (!connection || connection.connectionState === 'closed') return;
    const reports = new Map<string, Record<string, unknown>>();
    const stats = (await connection.getStats()) as ReadonlyMap<string, Record<string, unknown>>;
    for (const [id, report] of stats) reports.set(id, report);
    const pairs = readPairs(reports);
    if (pairs.length > 0) this.pairs.value = pairs.slice(0, mostPairs);
    const transport = [...reports.values()].find(({ type }) => type === 'transport');
    // Firefox has no bytes in its transport, and none of data channels in its pairs; those of the
    // channel are everywhere.
    const channels = [...reports.values()].filter(({ type }) => type === 'data-channel');
    const sum = (member: string): number => channels.reduce((bytes, channel) => bytes + number(channel[member]), 0);
    const sent = number(transport?.['bytesSent']) || sum('bytesSent');
    const received = number(transport?.['bytesReceived']) || sum('bytesReceived');
    this.#sample(connection, sent, received, roundTripMs);
  }

  /** @param source what has sent so much: another one counts from zero again */
  #sample(source: unknown, sent: number, received: number, roundTripMs: number | undefined): void {
    const at = performance.now();
    const last = this.#last;
    const same = last?.source === source;
    if (last && !same) {
      this.#before = { sent: this.#before.sent + last.sent, received: this.#before.received + last.received };
    }
    const seconds = last && same ? (at - last.at) / 1000 : 1;
    const rate = (now: number, then: number | undefined) => Math.max(0, now - (same ? (then ?? 0) : 0)) / seconds;
    const sample: Sample = {
      roundTripMs: roundTripMs ?? this.selected?.roundTripMs,
      sent: rate(sent, last?.sent),
      received: rate(received, last?.received),
      buffered: this.#journal.channel.peek()?.bufferedAmount ?? 0,
    };
    this.#last = { source, at, sent, received };
    this.total.value = { sent: this.#before.sent + sent, received: this.#before.received + received };
    this.samples.value = [...this.samples.value, sample].slice(-kept);
  }
}

function readPairs(reports: Map<string, Record<string, unknown>>): CandidatePair[] {
  const all = [...reports.values()];
  const chosen = all.find(({ type }) => type === 'transport')?.['selectedCandidatePairId'];
  return all
    .filter(({ type }) => type === 'candidate-pair')
    .map((pair): CandidatePair => {
      const roundTrip = pair['currentRoundTripTime'];
      return {
        id: text(pair['id']),
        state: text(pair['state']),
        // `selected` is Firefox's, which names none in its transport.
        selected: chosen === undefined ? pair['selected'] === true : pair['id'] === chosen,
        local: candidate(reports.get(text(pair['localCandidateId']))),
        remote: candidate(reports.get(text(pair['remoteCandidateId']))),
        roundTripMs: typeof roundTrip === 'number' ? roundTrip * 1000 : undefined,
        bytes: number(pair['bytesSent']) + number(pair['bytesReceived']),
      };
    })
    .toSorted((one, other) => Number(other.selected) - Number(one.selected) || one.id.localeCompare(other.id));
}

function candidate(report: Record<string, unknown> | undefined): Candidate {
  const address = text(report?.['address'] ?? report?.['ip']);
  return {
    type: text(report?.['candidateType']),
    protocol: text(report?.['protocol']),
    // A page is not told the addresses that have mDNS names.
    address: address === '' ? 'hidden' : `${address}:${text(report?.['port'])}`,
  };
}

const text = (value: unknown): string => (typeof value === 'string' || typeof value === 'number' ? String(value) : '');
const number = (value: unknown): number => (typeof value === 'number' ? value : 0);
