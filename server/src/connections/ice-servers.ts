import { createHmac } from 'node:crypto';
import type { IceServer } from 'mcp-rendezvous-protocol';

export interface IceConfig {
  stunUrls: string[];
  turnUrls: string[];
  turnSecret?: string | undefined;
  turnTtlSeconds: number;
}

const withTurn = ({ turnUrls, turnSecret }: IceConfig): boolean => turnUrls.length > 0 && turnSecret !== undefined;

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
 * @param now seconds since the epoch
 */
export function iceServers(config: IceConfig, subject: string, now: number): IceServer[] {
  const servers: IceServer[] = config.stunUrls.length > 0 ? [{ urls: config.stunUrls }] : [];
  if (config.turnUrls.length > 0 && config.turnSecret !== undefined) {
    const username = `${Math.floor(now) + config.turnTtlSeconds}:${subject}`;
    const credential = createHmac('sha1', config.turnSecret).update(username).digest('base64');
    servers.push({ urls: config.turnUrls, username, credential });
  }
  return servers;
}
