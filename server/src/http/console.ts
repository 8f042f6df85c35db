import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fastifyStatic from '@fastify/static';
import type { FastifyError, FastifyPluginAsync, FastifyRequest } from 'fastify';
import type { ClaimMapping } from 'mcp-rendezvous-protocol';
import { matchesEtag } from './etag.ts';
import { problem } from './http-errors.ts';

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
  // The frame of an MCP App: see sandbox.ts.
  "frame-src 'self'",
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

const unbuilt = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>mcp-rendezvous relay</title>
<h1>mcp-rendezvous relay</h1>
<p>Peers connect to <code>/v1/connect</code> by WebSocket, with the subprotocol <code>mcp-rendezvous.v1</code> and a room token.
The console has not been built. Run <code>npm run build</code>.</p>
`;

interface ConsoleOptions {
  /** Who gets it; for everyone else there is nothing at its addresses. */
  allows: (request: FastifyRequest) => boolean;
  /** The console may ask for development tokens: see `dev-tokens.ts`. */
  development: boolean;
  admin: boolean;
  /** Of all room tokens; undefined: each issuer has its own. */
  audience: string | undefined;
  /** URL of the documentation. */
  docs: string | undefined;
  /**
   * Where tokens of the relay's issuers have the claims of a room token; empty for the usual
   * places.
   */
  mappings: readonly ClaimMapping[];
}

/** Serves the console at `/`. */
export function consolePage(options: ConsoleOptions): FastifyPluginAsync {
  return async (app) => {
    const page = readPage(options);
    const etag = `"${createHash('sha256').update(page).digest('base64url')}"`;
    app.addHook('onRequest', (request, reply, done) => {
      if (options.allows(request)) done();
      else problem(reply, 'not_found', 'Not found.');
    });
    app.addHook('onSend', (_request, reply, _payload, done) => {
      reply.headers(headers);
      // RFC 9239 made this the only type; the plugin knows an older list.
      const type = String(reply.getHeader('content-type'));
      if (type.startsWith('application/javascript')) reply.type('text/javascript; charset=utf-8');
      done();
    });
    app.get('/', (request, reply) => {
      reply.headers({ etag, 'cache-control': 'no-cache' });
      if (matchesEtag(request.headers['if-none-match'], etag)) return reply.code(304).send();
      return reply.type('text/html; charset=utf-8').send(page);
    });
    // A path that leaves the folder of the files names none of them.
    app.setErrorHandler((error: FastifyError, _request, reply) => {
      if (error.statusCode !== 403) throw error;
      return problem(reply, 'not_found', 'Not found.');
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

function readPage({ development, admin, audience, docs, mappings }: ConsoleOptions): string {
  const path = join(built, 'index.html');
  const html = existsSync(path) ? readFileSync(path, 'utf8') : unbuilt;
  const marks = [
    ...(development ? ['data-development'] : []),
    ...(admin ? ['data-admin'] : []),
    ...(audience === undefined ? [] : [`data-audience="${quoted(audience)}"`]),
    ...(docs === undefined ? [] : [`data-docs="${quoted(new URL(docs).href)}"`]),
    ...claimsMark(mappings),
  ];
  return html.replace('<html', () => ['<html', ...marks].join(' '));
}

/** The page reads tokens, too. Whose the mappings are is nobody's business. */
function claimsMark(mappings: readonly ClaimMapping[]): string[] {
  const distinct = [...new Set(mappings.map((mapping) => JSON.stringify(mapping)))];
  return distinct.some((mapping) => mapping !== '{}') ? [`data-claims="${quoted(`[${distinct.join()}]`)}"`] : [];
}

/** For an attribute in quotation marks. */
const quoted = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;');
