import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { RemotePeer } from '../signaling/relay-connection.ts';
import { usage } from './cli-error.ts';

/** Minimum per subject, because the clients of one user often share a token. */
const fewestOfSubject = 16;

/**
 * How many sessions a process of `expose` serves at the same time, in all of its rooms together:
 * each costs a process or an HTTP session. One subject gets a quarter of them at most, or 16 if
 * that is more, so that one token cannot take them all; so does each client that a server invited.
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
   * Takes a slot for a session of the peer. Returns a function that releases it once.
   *
   * @throws RendezvousError `busy` if no slot is free
   */
  take({ subject, claims: { iss, jti, by } }: Pick<RemotePeer, 'subject' | 'claims'>): () => void {
    if (this.#count >= this.total) throw busy(`The limit of ${this.total} sessions is reached`);
    // All whom one server invited have one subject. Each is told apart by its token, because it can
    // have no other one made.
    const key = JSON.stringify([iss, subject, ...(by === undefined ? [] : [jti])]);
    const taken = this.#taken.get(key) ?? 0;
    if (taken >= this.ofSubject) throw busy(`The limit of ${taken} sessions for this subject is reached`);
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
    throw usage(`--max-sessions must be an integer from 1 to ${most}.`);
  }
  return value;
}
