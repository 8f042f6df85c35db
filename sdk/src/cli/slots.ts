import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { RemotePeer } from '../signaling/relay-connection.ts';
import { usage } from './cli-error.ts';

/** What one subject may have of a small total, too: a person's own clients usually share a token. */
const fewestOfSubject = 16;

/**
 * How many sessions a process of `expose` serves at the same time, in all of its rooms together: each costs a process or an HTTP
 * session. One subject gets a quarter of them at most, or 16 if that is more, so that one token cannot take them all.
 */
export class Slots {
  readonly total: number;
  readonly ofSubject: number;
  readonly #taken = new Map<string, number>();
  #count = 0;

  constructor(total: number) {
    this.total = total;
    this.ofSubject = Math.min(total, Math.max(fewestOfSubject, Math.ceil(total / 4)));
  }

  /**
   * Takes a slot for a session of the peer. Returns what gives it back, once.
   *
   * @throws RendezvousError `busy`: there is none left
   */
  take({ subject, claims: { iss } }: Pick<RemotePeer, 'subject' | 'claims'>): () => void {
    if (this.#count >= this.total) throw busy(`It serves ${this.total} sessions, which is its limit`);
    const key = JSON.stringify([iss, subject]);
    const taken = this.#taken.get(key) ?? 0;
    if (taken >= this.ofSubject) throw busy(`It serves ${taken} sessions of this subject, which is its limit`);
    this.#count += 1;
    this.#taken.set(key, taken + 1);
    let given = false;
    return () => {
      if (given) return;
      given = true;
      this.#count -= 1;
      const left = (this.#taken.get(key) ?? 1) - 1;
      if (left > 0) this.#taken.set(key, left);
      else this.#taken.delete(key);
    };
  }
}

const busy = (why: string) =>
  new RendezvousError('busy', `${why}. Close a session, or try again later.`, { retryable: true });

/** More than this are a mistake, and more than a machine has processes for. */
const most = 10_000;

/**
 * The value of `--max-sessions`.
 *
 * @throws CliError `bad_option`
 */
export function readMaxSessions(text: string): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < 1 || value > most) {
    throw usage(`--max-sessions takes a whole number from 1 to ${most}.`);
  }
  return value;
}
