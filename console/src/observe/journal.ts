import { type Signal, signal } from '@preact/signals';
import type { Path } from 'mcp-rendezvous';

/** What has to happen between the click and the first answer, in this order. */
export const stepNames = ['relay', 'room', 'peer', 'answer', 'path', 'secure', 'channel', 'session', 'first'] as const;
export type StepName = (typeof stepNames)[number];

export const stepLabels: Record<StepName, string> = {
  relay: 'Reach the relay',
  room: 'Join the room',
  peer: 'Meet the other peer',
  answer: 'Exchange descriptions',
  path: 'Find a network path',
  secure: 'Encrypt (DTLS)',
  channel: 'Open the data channel',
  session: 'Agree on a session',
  first: 'First MCP answer',
};

export interface Failure {
  step: StepName;
  code: string;
  message: string;
}

/** What became of a session that lost its path. */
export interface Recovery {
  /** Milliseconds since the epoch. */
  lostAt: number;
  from: Path;
  /** What the session has had instead; undefined while it has had nothing. */
  via: Path | undefined;
  /** Milliseconds without any path. */
  gapMs: number;
  /** Until it was over. */
  tookMs?: number;
  /** In words: what was done about it. */
  how: string;
  outcome: 'running' | 'restored' | 'lost';
}

/** Something that went wrong and did not end the connection. */
export interface Note {
  at: number;
  code: string;
  message: string;
}

const mostNotes = 50;

export type Way = 'to-relay' | 'from-relay' | 'to-peer' | 'from-peer';

/** This side's connection to the relay: `offline` is one that it had, and has lost. */
export type RelayLine = 'none' | 'online' | 'offline';

const quality: Record<Path, number> = { direct: 2, turn: 1, relayed: 0 };

/**
 * What happened to one connection, from the beginning on: written by those who see it, read by the
 * views.
 */
export class Journal {
  /** Milliseconds from the beginning to the end of each step. */
  readonly steps: Signal<Partial<Record<StepName, number>>> = signal({});
  readonly failure = signal<Failure | undefined>(undefined);
  readonly recoveries = signal<Recovery[]>([]);
  readonly notes = signal<Note[]>([]);
  /** Over what the session goes now, or went last. */
  readonly path = signal<Path | undefined>(undefined);
  readonly relay = signal<RelayLine>('none');
  /** The connection that is in use, or is being made. */
  readonly connection = signal<RTCPeerConnection | undefined>(undefined);
  readonly channel = signal<RTCDataChannel | undefined>(undefined);
  /** Something travels: for whoever draws it. */
  readonly watchers = new Set<(way: Way) => void>();
  /** Milliseconds since the epoch. */
  readonly startedAt = Date.now();
  readonly #began = performance.now();
  /** Since when there is no path at all. */
  #gapSince: number | undefined;

  /** A step is done; only the first time counts. */
  mark(step: StepName): void {
    if (this.steps.value[step] !== undefined) return;
    const now = performance.now() - this.#began;
    const earlier = stepNames.slice(0, stepNames.indexOf(step)).filter((name) => this.steps.value[name] === undefined);
    // What engines do not report by itself was over at the latest now.
    const marks = Object.fromEntries([...earlier, step].map((name) => [name, now]));
    this.steps.value = { ...this.steps.value, ...marks };
  }

  /** The step that is under way; undefined when all are done. */
  get current(): StepName | undefined {
    return stepNames.find((name) => this.steps.value[name] === undefined);
  }

  fail(code: string, message: string): void {
    if (this.failure.value) return;
    this.failure.value = { step: stepOf(code) ?? this.current ?? 'first', code, message };
  }

  note(code: string, message: string): void {
    this.notes.value = [...this.notes.value, { at: Date.now(), code, message }].slice(-mostNotes);
  }

  /** The session goes over this path, since now or again. */
  moved(path: Path): void {
    const before = this.path.value;
    this.path.value = path;
    if (before !== undefined && quality[path] < quality[before]) this.#begin(before);
    const running = this.#running;
    if (!running) return;
    const gapMs = this.#endGap(running);
    // The relayed path stands in for a better one, which is looked for on.
    if (path === 'relayed' && running.from !== 'relayed') return this.#amend({ via: path, gapMs });
    const how = running.how === 'Reconnecting' ? 'The same path recovered' : running.how;
    this.#amend({ via: path, gapMs, how, tookMs: Date.now() - running.lostAt, outcome: 'restored' });
  }

  /** The session has no path. */
  lost(): void {
    this.#begin(this.path.value ?? 'direct');
    this.#gapSince ??= performance.now();
  }

  /** What is being tried while the connection is lost. */
  trying(how: string): void {
    if (this.#running) this.#amend({ how });
  }

  ended(): void {
    const running = this.#running;
    if (running) this.#amend({ gapMs: this.#endGap(running), tookMs: Date.now() - running.lostAt, outcome: 'lost' });
  }

  travel(way: Way): void {
    for (const watcher of this.watchers) watcher(way);
  }

  get #running(): Recovery | undefined {
    const last = this.recoveries.value.at(-1);
    return last?.outcome === 'running' ? last : undefined;
  }

  #begin(from: Path): void {
    if (this.#running) return;
    const begun: Recovery = {
      lostAt: Date.now(),
      from,
      via: undefined,
      gapMs: 0,
      how: 'Reconnecting',
      outcome: 'running',
    };
    this.recoveries.value = [...this.recoveries.value, begun];
  }

  #amend(change: Partial<Recovery>): void {
    this.recoveries.value = [...this.recoveries.value.slice(0, -1), { ...this.recoveries.value.at(-1)!, ...change }];
  }

  #endGap({ gapMs }: Recovery): number {
    const since = this.#gapSince;
    this.#gapSince = undefined;
    return gapMs + (since === undefined ? 0 : performance.now() - since);
  }
}

/** The step that an error's code names, where the time at which it came would say less. */
function stepOf(code: string): StepName | undefined {
  if (code === 'relay_unreachable') return 'relay';
  if (code.startsWith('token_') || code === 'room_taken' || code === 'room_full' || code === 'rate_limited')
    return 'room';
  if (code === 'peer_absent' || code === 'busy' || code === 'peer_refused') return 'peer';
  if (code === 'peer_silent' || code === 'bad_signal') return 'answer';
  if (code === 'ice_failed' || code === 'session_lost') return 'path';
  if (code === 'dtls_untrusted') return 'secure';
  if (code === 'bad_channel') return 'channel';
  if (code === 'secret_mismatch') return 'session';
  return undefined;
}
