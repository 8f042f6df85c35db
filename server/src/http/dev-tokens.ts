import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import type { FastifyPluginCallback, FastifyRequest } from 'fastify';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { HttpError } from './http-errors.ts';

/** Long enough for anyone who tries the relay. */
const ttl = '12h';

/**
 * Issues tokens for the console: both roles of a room that nobody else knows. Only for a relay that
 * made its own key, which listens on loopback and guards nothing.
 *
 * @param key what the tokens are signed with
 */
export function devTokens(key: string): FastifyPluginCallback {
  return (app, _, done) => {
    app.post('/console/tokens', { bodyLimit: 1024 }, async (request, reply) => {
      if (!fromConsole(request)) {
        throw new HttpError(
          403,
          'origin_not_allowed',
          "Only this relay's own console, opened on this machine, may ask.",
        );
      }
      const room = `try-${randomBytes(9).toString('base64url')}`;
      const token = (role: 'server' | 'client') =>
        createRoomToken({ key, room, role, subject: role === 'server' ? 'shared-tab' : 'console', ttl });
      reply.code(201).header('cache-control', 'no-store');
      return { room, server: await token('server'), client: await token('client') };
    });
    done();
  };
}

/**
 * Whether the page that asks came from this relay, on this machine. A page of another site has
 * another origin; one that made its name point to this machine (DNS rebinding) has another host
 * than loopback's; and so has what a proxy passes on.
 */
function fromConsole({ headers }: FastifyRequest): boolean {
  const { host = '', origin } = headers;
  return origin === `http://${host}` && URL.canParse(origin) && isLoopback(new URL(origin).hostname);
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '[::1]' || (isIP(host) === 4 && host.startsWith('127.'));
