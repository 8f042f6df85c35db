import { createHash } from 'node:crypto';
import type { FastifyPluginAsync, FastifyRequest } from 'fastify';
import { matchesEtag } from './etag.ts';
import { problem } from './http-errors.ts';

/** Servers under development, on the machine of the browser. */
const local = 'http://localhost:* http://127.0.0.1:*';
const web = `https: ${local}`;

/**
 * The most that any app can have. The document of an app inherits it, and begins with a policy of
 * its own that names the hosts of that app (`console/src/apps/policy.ts`). Without
 * `allow-same-origin` it is of no origin, whichever page holds the frame: the console's storage,
 * cookies and document are out of reach. As `frame-src` allows nothing, an app cannot navigate its
 * frame to another host either, which no policy of its own could prevent.
 */
const policy = [
  'sandbox allow-scripts allow-forms',
  "default-src 'none'",
  `script-src 'unsafe-inline' ${web}`,
  `style-src 'unsafe-inline' ${web}`,
  `img-src data: blob: ${web}`,
  `font-src data: ${web}`,
  `media-src data: blob: ${web}`,
  `connect-src wss: ws://localhost:* ws://127.0.0.1:* ${web}`,
  "frame-src 'none'",
  "worker-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'self'",
].join('; ');

/**
 * The proxy that MCP Apps asks for between a host and an app: it makes a frame of the HTML that the
 * console sends once, and passes on messages. What the app sends becomes text here, so that the
 * console meets nothing but text of a bounded length at a bounded rate. An app that exceeds that,
 * or that leaves its document, is stopped.
 */
const page = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<title>MCP App</title>
<style>
  html, body, iframe { width: 100%; height: 100%; margin: 0; border: 0; display: block; overflow: hidden; }
</style>
<body>
<script>
  'use strict';
  const mostText = 1000000, mostPerSecond = 200, own = 'ui/notifications/sandbox-';
  const app = document.createElement('iframe');
  let shown = false, loaded = false, stopped = false, second = 0, count = 0;
  const tell = (method, params) =>
    parent.postMessage(JSON.stringify({ jsonrpc: '2.0', method, params }), location.origin);
  const stop = (reason) => {
    stopped = true;
    app.remove();
    tell(own + 'stopped', { reason });
  };
  const show = ({ html }) => {
    if (shown) return;
    shown = true;
    app.title = 'MCP App';
    app.setAttribute('sandbox', 'allow-scripts allow-forms');
    app.srcdoc = html;
    app.addEventListener('load', () => {
      if (loaded && !stopped) stop('left');
      loaded = true;
    });
    document.body.append(app);
  };
  const textOf = (data) => {
    try {
      return JSON.stringify(data);
    } catch {
      return undefined;
    }
  };
  const pass = (data) => {
    const now = Math.floor(performance.now() / 1000);
    if (now !== second) [second, count] = [now, 0];
    if (++count > mostPerSecond) return stop('flood');
    const text = textOf(data);
    if (text === undefined || (typeof data?.method === 'string' && data.method.startsWith(own))) return;
    if (text.length > mostText) return stop('large');
    parent.postMessage(text, location.origin);
  };
  addEventListener('message', (event) => {
    if (stopped) return;
    if (event.source === parent && event.origin === location.origin) {
      if (event.data?.method === own + 'resource-ready') show(event.data.params);
      else app.contentWindow?.postMessage(event.data, '*');
    } else if (event.source !== null && event.source === app.contentWindow) pass(event.data);
  });
  if (parent !== window) tell(own + 'proxy-ready', {});
</script>
`;

const headers = {
  'content-security-policy': policy,
  'permissions-policy': 'camera=(), microphone=(), geolocation=(), clipboard-write=(), display-capture=()',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-dns-prefetch-control': 'off',
  'cache-control': 'no-cache',
  etag: `"${createHash('sha256').update(page).digest('base64url')}"`,
};

/** Serves the frame in which the console shows MCP Apps, at `/sandbox`, to whom `allows` names. */
export function sandboxPage(allows: (request: FastifyRequest) => boolean): FastifyPluginAsync {
  return async (app) => {
    app.get('/sandbox', (request, reply) => {
      if (!allows(request)) return problem(reply, 'not_found', 'Not found.');
      reply.headers(headers);
      if (matchesEtag(request.headers['if-none-match'], headers.etag)) return reply.code(304).send();
      return reply.type('text/html; charset=utf-8').send(page);
    });
  };
}
