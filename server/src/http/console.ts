import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import type { FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify';

/** Where `npm run build` puts the console, seen from `src` as well as from `dist`. */
const built = fileURLToPath(new URL('../dist/console/', import.meta.url));

const types: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** Everything comes from here, nothing is evaluated, and no form or link can carry a token away by accident. */
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

/** What is served where the console was not built. */
const unbuilt = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>mcp-rendezvous relay</title>
<h1>mcp-rendezvous relay</h1>
<p>Peers connect to <code>/v1/connect</code> by WebSocket, with the subprotocol <code>mcp-rendezvous.v1</code> and a room token.
The console that belongs here is not built: <code>npm run build</code>.</p>
`;

interface File {
  type: string;
  plain: Buffer;
  /** Made when it is asked for. */
  zipped?: Buffer;
  etag: string;
  cache: string;
}

interface PageOptions {
  /** The console may ask for tokens of its own: see `devTokens.ts`. */
  development: boolean;
  /** There are addresses for operators. */
  admin: boolean;
}

/** The console at `/`, as a Fastify plugin: read once, served from memory. */
export function page(options: PageOptions): FastifyPluginCallback {
  return (app, _, done) => {
    for (const [path, file] of readFiles(options)) app.get(path, (request, reply) => send(file, request, reply));
    done();
  };
}

function readFiles({ development, admin }: PageOptions): Map<string, File> {
  const entries = existsSync(built) ? readdirSync(built, { recursive: true, withFileTypes: true }) : [];
  const paths = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  const files = new Map(paths.map((path) => [urlOf(path), toFile(path, readFileSync(path))]));
  const html = files.get('/index.html')?.plain.toString() ?? unbuilt;
  files.delete('/index.html');
  const marks = `${development ? ' data-development' : ''}${admin ? ' data-admin' : ''}`;
  files.set('/', toFile('index.html', Buffer.from(html.replace('<html', `<html${marks}`))));
  return files;
}

const urlOf = (path: string): string => `/${relative(built, path).replaceAll(sep, '/')}`;

function toFile(path: string, plain: Buffer): File {
  const extension = extname(path);
  return {
    type: types[extension] ?? 'application/octet-stream',
    plain,
    etag: `"${createHash('sha256').update(plain).digest('base64url')}"`,
    // The names of all others change with their content.
    cache: extension === '.html' ? 'no-cache' : 'public, max-age=31536000, immutable',
  };
}

function send(file: File, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  reply
    .header('etag', file.etag)
    .header('cache-control', file.cache)
    .header('vary', 'accept-encoding')
    .header('content-security-policy', policy)
    .header('referrer-policy', 'no-referrer')
    .header('x-content-type-options', 'nosniff');
  if (matches(request.headers['if-none-match'], file.etag)) return reply.code(304).send();
  reply.type(file.type);
  if (!acceptsGzip(request.headers['accept-encoding'])) return reply.send(file.plain);
  file.zipped ??= gzipSync(file.plain, { level: 9 });
  return reply.header('content-encoding', 'gzip').send(file.zipped);
}

/** RFC 9110 §13.1.2; a proxy may have made the tag a weak one. */
const matches = (given: string | undefined, etag: string): boolean =>
  given !== undefined && given.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag);

/** RFC 9110 §12.5.3 */
const acceptsGzip = (given: string | undefined): boolean =>
  given !== undefined && given.split(',').some((coding) => /^\s*gzip\s*(;\s*q=(?!0(\.0*)?\s*$)|$)/i.test(coding));
