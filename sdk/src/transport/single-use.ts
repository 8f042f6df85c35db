import { clockToleranceSeconds, createSecret } from 'mcp-rendezvous-protocol';

interface Entry {
  /** Gone when it has been used. */
  secret: string | undefined;
  /** A session with it is being made, or has been. */
  taken: boolean;
  /** In seconds since the epoch, by the relay's clock. */
  expiresAt: number;
}

/**
 * Invitations for one session each. Their secrets are random, and known here only: no other process
 * that has the root, and not this one when it has been started again, lets anybody in with one.
 */
export class SingleUse {
  readonly #entries = new Map<string, Entry>();
  readonly #now: () => number;

  /** @param now the relay's time, in milliseconds since the epoch */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Returns the secret of the invitation. */
  add(id: string, expiresAt: number): string {
    for (const [old, entry] of this.#entries) {
      if (entry.expiresAt + clockToleranceSeconds < this.#now() / 1000) this.#entries.delete(old);
    }
    const secret = createSecret();
    this.#entries.set(id, { secret, taken: false, expiresAt });
    return secret;
  }

  /** Undefined for every other invitation, and for one that has been used. */
  secretOf(id: string | undefined): string | undefined {
    return this.#find(id)?.secret;
  }

  /** Whether a session may be made with the invitation now; from then on no other one may. */
  take(id: string | undefined): boolean {
    const entry = this.#find(id);
    if (entry?.taken) return false;
    if (entry) entry.taken = true;
    return true;
  }

  /** The session that took it is over. @param begun its client had proven the secret */
  finish(id: string | undefined, begun: boolean): void {
    const entry = this.#find(id);
    if (!entry) return;
    entry.taken = begun;
    if (begun) entry.secret = undefined;
  }

  #find(id: string | undefined): Entry | undefined {
    return id === undefined ? undefined : this.#entries.get(id);
  }
}
