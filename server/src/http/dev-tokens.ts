import { randomBytes } from 'node:crypto';
import type { FastifyPluginCallback, FastifyRequest } from 'fastify';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { HttpError } from './http-errors.ts';
import { isLoopbackHost } from './local-request.ts';

/** Long enough for anyone who tries the relay. */
const ttl = '12h';
/** The same in seconds, for those whom a shared tab invites. */
const inviteSeconds = 12 * 3600;

/**
 * Issues tokens for the console: both roles of a room that nobody else knows. Only for a relay that
 * made its own key, which listens on loopback and guards nothing.
 *
 * @param key what the tokens are signed with
 * @param onrefused called for a page of another origin
 */
export function devTokens(key: string, onrefused: (origin: string | undefined) => void): FastifyPluginCallback {
  return (app, _, done) => {
    app.post('/console/tokens', { bodyLimit: 1024 }, async (request, reply) => {
      if (!fromConsole(request)) {
        onrefused(request.headers.origin);
        throw new HttpError(
          'origin_not_allowed',
          "Development tokens are only for this relay's console, opened on the same machine.",
        );
      }
      const room = `try-${randomBytes(9).toString('base64url')}`;
      const [server, client] = await Promise.all([
        createRoomToken({ key, room, role: 'server', subject: 'shared-tab', ttl, invite: inviteSeconds }),
        createRoomToken({ key, room, role: 'client', subject: 'console', ttl }),
      ]);
      reply.code(201).header('cache-control', 'no-store');
      return { room, server, client };
    });
    done();
  };
}

/**
 * Whether the request is from the console of this relay, on this machine. A page of another site
 * has another origin. A page that used DNS rebinding, or a request through a proxy, has a host
 * other than loopback.
 */
const fromConsole = ({ headers: { host = '', origin } }: FastifyRequest): boolean =>
  origin === `http://${host}` && isLoopbackHost(host);
