import type { RtcPeerConnection } from './engine.ts';

type Counts = Record<string, number>;

/** Counts the candidates of both sides by type, so that a failure can say what was tried without naming an address. */
export class CandidateTally {
  readonly #local: Counts = {};
  readonly #remote: Counts = {};

  local(candidate: string): void {
    count(this.#local, candidate);
  }

  remote(candidate: string): void {
    count(this.#remote, candidate);
  }

  /** Candidates may also come inside a description. */
  descriptions(connection: RtcPeerConnection): void {
    for (const [sdp, counts] of [
      [connection.localDescription?.sdp, this.#local],
      [connection.remoteDescription?.sdp, this.#remote],
    ] as const) {
      const lines = sdp?.match(/^a=candidate:.*$/gm) ?? [];
      if (lines.length > total(counts)) for (const line of lines) count(counts, line);
    }
  }

  summary(): string {
    return `candidates here: ${list(this.#local)}; from the other side: ${list(this.#remote)}`;
  }
}

function count(counts: Counts, candidate: string): void {
  const type = / typ (host|srflx|prflx|relay)/.exec(candidate)?.[1];
  if (type) counts[type] = (counts[type] ?? 0) + 1;
}

const total = (counts: Counts): number => Object.values(counts).reduce((sum, n) => sum + n, 0);

const list = (counts: Counts): string =>
  Object.entries(counts)
    .map(([type, n]) => `${n} ${type}`)
    .join(', ') || 'none';
