import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import type { FastifyPluginCallback, FastifyRequest } from 'fastify';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { HttpError } from './http-errors.ts';

/** Longer than anyone tries something out. */
const ttl = '12h';

/**
 * Tokens for the console's own use, as a Fastify plugin: both roles of a room that nobody else knows. Only for a relay with a key
 * of its own making, which listens on loopback and guards nothing.
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
 * Whether a page asks that came from here. Another site's page has another origin; one that had its name point to this machine
 * (DNS rebinding) has a host that is not one of loopback's; and what a proxy passes on is not from this machine.
 */
function fromConsole({ headers }: FastifyRequest): boolean {
  const { host = '', origin } = headers;
  return origin === `http://${host}` && URL.canParse(origin) && isLoopback(new URL(origin).hostname);
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '[::1]' || (isIP(host) === 4 && host.startsWith('127.'));
