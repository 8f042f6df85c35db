import type { SignalMessage } from '../signaling/signaling.ts';
import type { OfferAnswer } from './offer-answer.ts';

/** Signals that wait at the most, and their bytes as JSON: far more than one description needs. */
const mostWaiting = 256;
const mostBytes = 262_144;

type Candidates = Extract<SignalMessage, { kind: 'candidate' }>;
type Taker = Pick<OfferAnswer, 'gen' | 'candidates'>;

const encoder = new TextEncoder();

/**
 * The other side's candidates, for the connection that they are of. While an engine is chosen, or
 * loaded, there is none yet, and perhaps the one of an earlier offer.
 */
export class WaitingCandidates {
  readonly #waiting: Candidates[] = [];
  #bytes = 0;

  take(candidates: Candidates, exchange: Taker | undefined): void {
    if (exchange?.gen === candidates.gen) return exchange.candidates(candidates);
    if (this.#waiting.length >= mostWaiting || this.#bytes > mostBytes) return;
    this.#bytes += encoder.encode(JSON.stringify(candidates)).byteLength;
    // The first one that does not fit is the last one that is looked at.
    if (this.#bytes <= mostBytes) this.#waiting.push(candidates);
  }

  /** Those that came before there was this connection; what is of an earlier offer is dropped. */
  giveTo(exchange: Taker): void {
    this.#bytes = 0;
    for (const candidates of this.#waiting.splice(0)) {
      if (candidates.gen === exchange.gen) exchange.candidates(candidates);
    }
  }
}
