import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fastifyStatic from '@fastify/static';
import type { FastifyPluginAsync } from 'fastify';

/** Where `npm run build` puts the console, seen from `src` as well as from `dist`. */
const built = fileURLToPath(new URL('../../dist/console/', import.meta.url));

/**
 * Everything comes from the relay itself, nothing is evaluated, and no form or link can carry a
 * token away by accident.
 */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  'media-src data: blob:',
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const headers = {
  'content-security-policy': policy,
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

/** The page of a relay whose console was not built. */
const unbuilt = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>mcp-rendezvous relay</title>
<h1>mcp-rendezvous relay</h1>
<p>Peers connect to <code>/v1/connect</code> by WebSocket, with the subprotocol <code>mcp-rendezvous.v1</code> and a room token.
The console that belongs here is not built: <code>npm run build</code>.</p>
`;

interface ConsoleOptions {
  /** The console may ask for development tokens: see `dev-tokens.ts`. */
  development: boolean;
  /** The operator's addresses exist. */
  admin: boolean;
}

/** Serves the console at `/`. */
export function consolePage(options: ConsoleOptions): FastifyPluginAsync {
  return async (app) => {
    const page = readPage(options);
    const etag = `"${createHash('sha256').update(page).digest('base64url')}"`;
    app.addHook('onSend', (_request, reply, _payload, done) => {
      reply.headers(headers);
      // RFC 9239 made this the only type; the plugin knows an older list.
      const type = String(reply.getHeader('content-type'));
      if (type.startsWith('application/javascript')) reply.type('text/javascript; charset=utf-8');
      done();
    });
    app.get('/', (request, reply) => {
      reply.headers({ etag, 'cache-control': 'no-cache' });
      if (matches(request.headers['if-none-match'], etag)) return reply.code(304).send();
      return reply.type('text/html; charset=utf-8').send(page);
    });
    const root = join(built, 'assets');
    if (!existsSync(root)) return;
    await app.register(fastifyStatic, {
      root,
      prefix: '/assets/',
      decorateReply: false,
      // The names of these files change with their content, and the build compresses them.
      immutable: true,
      maxAge: '1y',
      preCompressed: true,
    });
  };
}

/** The page, with marks that tell the console what this relay offers. */
function readPage({ development, admin }: ConsoleOptions): string {
  const path = join(built, 'index.html');
  const html = existsSync(path) ? readFileSync(path, 'utf8') : unbuilt;
  const marks = `${development ? ' data-development' : ''}${admin ? ' data-admin' : ''}`;
  return html.replace('<html', `<html${marks}`);
}

/** RFC 9110 §13.1.2. A proxy may have made the tag a weak one. */
const matches = (given: string | undefined, etag: string): boolean =>
  given !== undefined && given.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag);
