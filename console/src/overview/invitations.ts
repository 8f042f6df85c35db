import { signal } from '@preact/signals';
import { createInvitation, createSecret, deriveSecret, parseInvitation } from 'mcp-rendezvous/token';
import { relay } from '../place.ts';

export interface MadeInvitation {
  id: string;
  room: string;
  role: 'server' | 'client';
  /** What people call it. */
  name: string;
  invitation: string;
  /** Seconds since the epoch. */
  expiresAt: number;
  revoked: boolean;
}

export interface Wanted {
  room: string;
  role: 'server' | 'client';
  name: string;
  /** Seconds. */
  ttl: number;
}

/** What an operator's page may ask of the relay. */
export interface Issuer {
  issueToken(wanted: { room: string; role: string; sub: string; ttl: number; invite?: number }): Promise<string>;
  revoke(by: 'jti', value: string, issuer: string): Promise<unknown>;
}

/**
 * The invitations that were made in this page. The relay keeps none: it signs their tokens, and
 * never hears of their secrets.
 */
export class Invitations {
  readonly made = signal<MadeInvitation[]>([]);
  readonly #issuer: Issuer;
  /** Of which the secrets of a room's clients are derived, by the room. */
  readonly #roots = new Map<string, string>();

  constructor(issuer: Issuer) {
    this.#issuer = issuer;
  }

  /**
   * A client's secret comes from the root of its server's.
   *
   * @throws Error with a sentence
   */
  async make({ room, role, name, ttl }: Wanted): Promise<MadeInvitation> {
    const root = this.#roots.get(room) ?? (role === 'server' ? createSecret() : undefined);
    if (root === undefined)
      throw new Error(
        'This page has made no invitation for the server of this room. Make that one first, or let the server invite: “mcp-rendezvous invite”.',
      );
    const sub = `${role === 'server' ? 'server' : 'guest'}-${randomName()}`;
    const token = await this.#issuer.issueToken({ room, role, sub, ttl, ...(role === 'server' && { invite: ttl }) });
    const called = name === '' ? {} : { name };
    // The token's own name is known when it is signed: read it from an invitation with any secret.
    const { id, expiresAt } = parseInvitation(createInvitation({ relay, token, secret: root }), { now: 0 });
    const secret = role === 'server' ? root : await deriveSecret(root, id);
    const invitation = createInvitation({ relay, token, secret, ...called });
    this.#roots.set(room, root);
    const made = { id, room, role, name: name || sub, invitation, expiresAt, revoked: false };
    this.made.value = [...this.made.value, made];
    return made;
  }

  /** Takes one back; with a server's fall those that it has made. */
  async revoke(id: string): Promise<void> {
    await this.#issuer.revoke('jti', id, '');
    this.made.value = this.made.value.map((one) => (one.id === id ? { ...one, revoked: true } : one));
  }
}

/** A page over plain http has no `randomUUID`. */
const randomName = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(4)), (byte) => byte.toString(16).padStart(2, '0')).join('');
