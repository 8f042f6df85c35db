import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import {
  clockToleranceSeconds,
  type FrameFromRelay,
  type FrameToRelay,
  type OutcomeCode,
} from 'mcp-rendezvous-protocol';
import { createRoomToken, type RoomTokenOptions } from 'mcp-rendezvous-protocol/token';
import type { KeyStore } from '../auth/key-store.ts';
import { secretsFor, type Signer, signerFor } from '../auth/signer.ts';
import type { Broker, LocalPeer } from '../broker/broker.ts';
import { invitedPrefix } from '../broker/revocations.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { parseRoomKey } from '../rooms/ids.ts';
import { Buckets, type Rate } from './bucket.ts';

/** Of one subject in its room, to make and to revoke: ten at once, then one each six seconds. */
const rate: Rate = { perSecond: 1 / 6, burst: 10 };
/**
 * Of the same, to revoke: a thousand at once, then one each five minutes. Each is kept until the
 * longest-lived token has ended.
 */
const revocationRate: Rate = { perSecond: 1 / 300, burst: 1000 };
/** Of a subject, in characters. */
const longestSubject = 256 - invitedPrefix.length;

type Invite = Extract<FrameToRelay, { type: 'invite' }>;
type Revoke = Extract<FrameToRelay, { type: 'revoke' }>;

interface Options {
  keyStore: KeyStore;
  broker: Broker;
  metrics: Metrics;
  log: Logger;
}

/** The connection that a frame came on. */
interface Answered {
  send(frame: FrameFromRelay): void;
  fail(error: unknown): void;
}

/** A server that may invite, and what that takes. */
interface Inviter {
  jti: string;
  seconds: number;
  signer: Signer;
}

/**
 * Client tokens that a server has the relay make for its own room (PROTOCOL.md §3, `invite`), so
 * that the key stays here. Nothing of them is kept: the name of each shows whose it is.
 */
export class Invitations {
  readonly #options: Options;
  readonly #rates = new Buckets(rate);
  readonly #revocationRates = new Buckets(revocationRate);

  constructor(options: Options) {
    this.#options = options;
  }

  /** What a `joined` says about it: the longest life of an invitation, in seconds. */
  offered(peer: LocalPeer): { invite?: number } {
    const inviter = this.#inviter(peer);
    return inviter ? { invite: inviter.seconds } : {};
  }

  /** Answers a frame of this peer, on its connection. */
  async handle(peer: LocalPeer, frame: Invite | Revoke, connection: Answered): Promise<void> {
    try {
      connection.send(await this.#answer(peer, frame));
    } catch (error) {
      connection.fail(error);
    }
  }

  async #answer(peer: LocalPeer, frame: Invite | Revoke): Promise<FrameFromRelay> {
    const inviter = this.#inviter(peer);
    if (!inviter) return outcome(frame, 'forbidden');
    const limited = limitedTo(this.#rates, peer);
    if (limited) return { ...outcome(frame, 'unavailable'), ...limited };
    return frame.type === 'invite' ? await this.#invite(peer, inviter, frame) : await this.#revoke(peer, frame);
  }

  async #invite(peer: LocalPeer, { jti: by, seconds, signer }: Inviter, frame: Invite) {
    const { scope, sub, paths } = peer.claims;
    const { room } = parseRoomKey(peer.room);
    const ttl = Math.min(frame.ttl ?? seconds, seconds);
    // A name that begins with a hyphen would be an option on a command line.
    const random = randomBytes(16).toString('base64url').replace(/^-/, '_');
    const jti = `${random}.${signature(signer.key, peer, random)}`;
    const expiresAt = Math.floor(Date.now() / 1000) + ttl;
    const token = await createRoomToken({
      ...signer,
      room,
      role: 'client',
      subject: `${invitedPrefix}${sub}`,
      ttl,
      id: jti,
      by,
      // Never more than the inviter's own.
      ...(scope !== undefined && { scope }),
      ...(paths && { paths: paths as NonNullable<RoomTokenOptions['paths']> }),
    });
    const { name } = frame;
    this.#options.log.info({ room, sub, by, jti, expiresAt, ...(name !== undefined && { name }) }, 'invited');
    return { type: 'invited' as const, id: frame.id, token, expiresAt };
  }

  async #revoke(peer: LocalPeer, frame: Revoke): Promise<FrameFromRelay> {
    const { keyStore, broker, metrics, log } = this.#options;
    const { issuer, room } = parseRoomKey(peer.room);
    if (!isOwn(secretsFor(keyStore.keys, issuer), peer, frame.jti)) return outcome(frame, 'forbidden');
    const limited = limitedTo(this.#revocationRates, peer);
    if (limited) return { ...outcome(frame, 'unavailable'), ...limited };
    // As long as it may live, by a clock that is ahead, and the moment after that.
    const seconds = Date.now() / 1000 + keyStore.maxTokenLifetimeSeconds + 2 * clockToleranceSeconds;
    const removed = await broker.revoke({ by: 'jti', issuer, value: frame.jti, until: Math.ceil(seconds) * 1000 });
    metrics.revocations.inc({ by: 'jti' });
    log.info({ by: 'jti', value: frame.jti, issuer, room, sub: peer.claims.sub, removed }, 'revoked by its inviter');
    return outcome(frame, 'done');
  }

  #inviter({ role, room, claims: { invite, jti, sub, paths } }: LocalPeer): Inviter | undefined {
    const { keyStore } = this.#options;
    // Whoever cannot be revoked must not have others who cannot be either.
    if (role !== 'server' || invite === undefined || !jti) return undefined;
    // What a token of this relay cannot say, an invitation must not be without.
    if (Array.from(sub).length > longestSubject || (paths && !isSayable(paths))) return undefined;
    const signer = signerFor(keyStore.keys, parseRoomKey(room).issuer);
    return signer && { jti, seconds: Math.min(invite, keyStore.maxTokenLifetimeSeconds), signer };
  }
}

/** Takes one of the peer's subject; or says when there is one again. */
function limitedTo(buckets: Buckets, { room, claims }: LocalPeer): { retryAfterMs: number } | undefined {
  const key = JSON.stringify([room, claims.sub]);
  const now = performance.now();
  return buckets.take(key, now) ? undefined : { retryAfterMs: Math.ceil(buckets.wait(key, now)) };
}

const outcome = ({ id }: { id: string }, code: OutcomeCode): Extract<FrameFromRelay, { type: 'outcome' }> => ({
  type: 'outcome',
  id,
  code,
});

const isSayable = (paths: readonly string[]): boolean =>
  paths.length > 0 && paths.every((path) => ['direct', 'turn', 'relayed'].includes(path));

/** By which the name of an invitation shows whose it is: nobody else can make one for a subject. */
const signature = (key: string, { room, claims: { sub } }: LocalPeer, random: string): string =>
  createHmac('sha256', key)
    .update(`mcp-rendezvous invitation 1 ${JSON.stringify([room, sub, random])}`)
    .digest()
    .toString('base64url', 0, 16);

function isOwn(keys: readonly string[], peer: LocalPeer, jti: string): boolean {
  const [, random = '', given = ''] = /^([\w-]{22})\.([\w-]{22})$/.exec(jti) ?? [];
  return keys.some((key) => {
    const own = Buffer.from(signature(key, peer, random));
    return own.length === given.length && timingSafeEqual(own, Buffer.from(given));
  });
}
