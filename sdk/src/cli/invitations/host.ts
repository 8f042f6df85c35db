import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { RemotePeer } from '../../signaling/relay-connection.ts';
import type { InviteOptions, Listener, MadeInvitation } from '../../transport/listen.ts';
import { usage } from '../cli-error.ts';
import type { Log } from '../log.ts';
import { makeInvitation, type Signing, sourceOf } from './make-invitation.ts';
import { endsSoon, pasteLines, type PrintedInvitation, warnSeconds } from './print-invitation.ts';
import type { Fulfilled, RoomStore, Wish } from './room-store.ts';

/** How often the store is looked at, in milliseconds: a revoked session ends within two of them. */
const lookEveryMs = 500;
const dayMs = 86_400_000;

export interface HostOptions {
  store: RoomStore;
  /** The key, or the `jti` of the server's own invitation, with which the relay makes others. */
  signing: Signing | { inviter: string };
  /** How long an invitation counts. */
  seconds: number;
  name: string;
  /** Print the invitation. */
  print: boolean;
  log: Log;
}

/**
 * The invitations to a room, in the process that has the room: it makes the one that it prints, and
 * those that `mcp-rendezvous invite` wishes for, and lets nobody in whose invitation was revoked.
 */
export class InvitationHost {
  readonly #options: HostOptions;
  #printed: PrintedInvitation | undefined;

  constructor(options: HostOptions) {
    this.#options = options;
  }

  /** @throws RendezvousError `peer_refused` for a client whose invitation was revoked */
  admits({ claims: { jti } }: RemotePeer): boolean {
    if (jti === undefined || !this.#options.store.isRevoked(jti)) return true;
    throw new RendezvousError('peer_refused', 'The invitation was revoked. Ask for another one.');
  }

  /**
   * Of the invitation that a client came with: guests of one server all have the same subject, so
   * that only this tells them apart.
   */
  invitationOf({ claims: { jti } }: RemotePeer): { invitationId: string; name?: string } | undefined {
    if (jti === undefined) return undefined;
    const name = this.#options.store.invitations.find(({ id }) => id === jti)?.name;
    return { invitationId: jti, ...(name !== undefined && { name }) };
  }

  /**
   * The invitation that it prints: the one of last time, while it counts.
   *
   * @param listener in the room, which only a relay that has the key itself needs
   * @throws CliError, RendezvousError when none can be made
   */
  async own(listener?: Listener): Promise<PrintedInvitation> {
    return (this.#printed ??= this.#kept() ?? (await this.#make(listener)));
  }

  /** Prints it, unless somebody else has or nobody shall. */
  async announce(listener: Listener): Promise<void> {
    const { store, log, print } = this.#options;
    if (this.#printed) return;
    if (print) log.reveal(pasteLines(await this.own(listener), store.place.relay));
    else log.info('the invitation is printed on a terminal, or with --print-invitation');
  }

  /**
   * Follows the store until `stop` fires.
   *
   * @param end ends the sessions of an invitation that was revoked
   */
  follow(listener: Listener, end: (id: string) => void, stop: AbortSignal): void {
    const { store, signing, log } = this.#options;
    const ended = new Set<string>();
    const look = (): void => {
      for (const id of store.revoked) {
        if (ended.has(id)) continue;
        ended.add(id);
        // The relay ends those that it signed, and says why. All others end here.
        if ('inviter' in signing) {
          listener.revoke(id).catch((error: Error) => {
            log.debug(error.message);
            end(id);
          });
        } else end(id);
      }
      for (const { wish, answer } of store.takeWishes()) void this.#fulfil(listener, wish).then(answer);
    };
    const looking = setInterval(look, lookEveryMs);
    const warning = setInterval(() => {
      const soon = this.#printed && endsSoon(this.#printed.expiresAt);
      if (soon !== undefined) log.info(soon);
    }, dayMs);
    stop.addEventListener('abort', () => {
      clearInterval(looking);
      clearInterval(warning);
    });
  }

  /** The one of last time, if it counts for a good while, and no longer than is wanted. */
  #kept(): PrintedInvitation | undefined {
    const { store, seconds } = this.#options;
    const least = Math.min(warnSeconds, seconds / 2);
    for (const { invitation, source, revoked, expiresAt, name } of store.invitations) {
      const left = expiresAt - Date.now() / 1000;
      if (!invitation || revoked || source !== this.#source || left < least || left > seconds + 60) continue;
      return { invitation, name, expiresAt };
    }
    return undefined;
  }

  get #source(): string {
    const { signing } = this.#options;
    return 'inviter' in signing ? signing.inviter : sourceOf(signing.key);
  }

  async #make(listener?: Listener): Promise<PrintedInvitation> {
    const { store, signing, seconds, name } = this.#options;
    if ('inviter' in signing) {
      if (!listener) throw usage('A server invitation can invite only while it is in its room.');
      const { invitation, expiresAt } = await this.#invite(listener, { name, ttl: seconds }, true);
      return { invitation, name, expiresAt };
    }
    const { invitation, made } = await makeInvitation(store, signing, { role: 'client', seconds, name });
    store.remember({ ...made, invitation });
    return { invitation, name, expiresAt: made.expiresAt };
  }

  async #fulfil(listener: Listener, { name, ttl }: Wish): Promise<Fulfilled> {
    try {
      return await this.#invite(listener, { ...(name !== undefined && { name }), ...(ttl !== undefined && { ttl }) });
    } catch (error) {
      return { problem: error instanceof RendezvousError ? error.message : 'It failed for another reason.' };
    }
  }

  /** Has the relay sign one. Its text is remembered only if it is to be `kept`. */
  async #invite(listener: Listener, options: InviteOptions, kept = false): Promise<MadeInvitation> {
    const { store } = this.#options;
    const made = await listener.invite(options);
    const { invitation, id, expiresAt } = made;
    // The listener knows its own only, and not those of the last time.
    if (store.invitations.some((other) => other.id === id)) {
      throw new RendezvousError('signaling_failed', 'The relay gave the token of an earlier invitation.');
    }
    const { name } = options;
    const record = { ...store.place, id, role: 'client', expiresAt, source: this.#source } as const;
    store.remember({ ...record, ...(name !== undefined && { name }), ...(kept && { invitation }) });
    return made;
  }
}
