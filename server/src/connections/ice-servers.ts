import { createHash, createHmac } from 'node:crypto';
import type { IceServer, PeerClaims } from 'mcp-rendezvous-protocol';
import type { TurnProvider } from './turn-credentials.ts';

export interface IceConfig {
  stunUrls: string[];
  turnUrls: string[];
  turnSecret?: string | undefined;
  turnTtlSeconds: number;
  turnProvider?: TurnProvider | undefined;
}

type Subject = Pick<PeerClaims, 'iss' | 'sub'>;

const withTurn = ({ turnUrls, turnSecret, turnProvider }: IceConfig): boolean =>
  (turnUrls.length > 0 && turnSecret !== undefined) || turnProvider !== undefined;

/**
 * When a peer needs new credentials: after half of their lifetime, in ms. Undefined if it has none.
 */
export const renewalMs = (config: IceConfig): number | undefined =>
  withTurn(config) ? (config.turnTtlSeconds * 1000) / 2 : undefined;

/**
 * The ICE servers for one peer. TURN credentials are those of coturn's `use-auth-secret` (the TURN
 * REST API, draft-uberti-behave-turn-rest-00): the user name says when they expire, the password is
 * its HMAC-SHA1.
 *
 * @param peer whose credentials they are
 * @param now seconds since the epoch
 * @param provided what the provider of TURN servers has given
 */
export function iceServers(config: IceConfig, peer: Subject, now: number, provided: IceServer[] = []): IceServer[] {
  const servers: IceServer[] = config.stunUrls.length > 0 ? [{ urls: config.stunUrls }] : [];
  if (config.turnUrls.length > 0 && config.turnSecret !== undefined) {
    const username = `${Math.floor(now) + config.turnTtlSeconds}:${turnUserOf(peer)}`;
    const credential = createHmac('sha1', config.turnSecret).update(username).digest('base64');
    servers.push({ urls: config.turnUrls, username, credential });
  }
  return [...servers, ...provided];
}

/**
 * The part of a TURN user name that is always the same for one subject of one issuer, so that
 * coturn's `user-quota` counts it. A digest, because coturn refuses spaces, quotation marks and
 * backslashes, and a user name has at most 508 bytes (RFC 8489 §14.3). Neither claim contains a
 * line break.
 */
const turnUserOf = ({ iss = '', sub }: Subject): string =>
  createHash('sha256').update(`${iss}\n${sub}`).digest('hex').slice(0, 32);
