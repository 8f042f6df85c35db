import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { createRoomToken } from 'mcp-rendezvous/token';
import { createApp, createLogger, parseConfig } from 'mcp-rendezvous-server';

const page = (name: string): string => fileURLToPath(new URL(`page/${name}`, import.meta.url));

/** What the web server has: path to content type and content. */
export type Files = Map<string, [type: string, content: Uint8Array]>;

async function readPages(conditions: string[]): Promise<Files> {
  const bundles = await build({
    entryPoints: [page('server.ts'), page('client.ts')],
    inject: [page('jitless.ts')],
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    conditions,
    outdir: '/',
    write: false,
  });
  const html = 'text/html; charset=utf-8';
  const files: Files = new Map([
    ['/', [html, await readFile(page('server.html'))]],
    ['/client', [html, await readFile(page('client.html'))]],
    ['/style.css', ['text/css', await readFile(page('style.css'))]],
    ['/icon.svg', ['image/svg+xml', await readFile(page('icon.svg'))]],
  ]);
  for (const { path, contents } of bundles.outputFiles) files.set(path, ['text/javascript', contents]);
  return files;
}

export interface App {
  url: string;
  /** The relay, and the key that it verifies tokens with. */
  relay: string;
  key: string;
  close(): Promise<void>;
}

/**
 * A web server for pages, which also signs their room tokens, and a relay for them. Both listen on
 * loopback.
 *
 * @param port of the web server; 0 takes a free one
 * @param conditions of the packages' exports, for esbuild; none for what is published
 * @param read makes the pages; by default the two of this example
 */
export async function startApp(port: number, conditions: string[] = [], read = readPages): Promise<App> {
  const key = randomBytes(36).toString('base64url');
  const files = await read(conditions);
  const web = createServer((request, response) => {
    answer(request, response).catch(() => response.writeHead(500).end());
  });
  await new Promise<void>((resolve) => web.listen(port, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;

  // Other sites' pages cannot use this relay, whatever token they have got hold of.
  const config = parseConfig({ RELAY_SECRET: key, ALLOWED_ORIGINS: url });
  const relay = await createApp({ config, log: createLogger('warn') });
  const relayUrl = (await relay.listen({ host: config.host, port: 0 })).replace('http', 'ws');

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method, url: path = '/' } = request;
    if (method === 'POST' && path === '/token') return await issueToken(request, response);
    const file = method === 'GET' ? files.get(path) : undefined;
    if (!file) return void response.writeHead(404).end();
    response.setHeader('content-type', file[0]);
    // No unsafe-eval and no unsafe-inline: neither MCP's SDK nor this one needs them.
    response.setHeader(
      'content-security-policy',
      `default-src 'self'; connect-src 'self' ${relayUrl}; base-uri 'none'`,
    );
    response.end(file[1]);
  }

  /**
   * Here whoever asks gets a token. An application looks at its session first, and names room and
   * subject itself.
   */
  async function issueToken(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { room, role, subject } = JSON.parse(Buffer.concat(chunks).toString()) as Record<string, string>;
    if (!room || !subject || (role !== 'server' && role !== 'client')) return void response.writeHead(400).end();
    const token = await createRoomToken({ key, room, role, subject, ttl: '5m' });
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ relay: relayUrl, token }));
  }

  return {
    url,
    relay: relayUrl,
    key,
    async close() {
      web.close();
      web.closeAllConnections();
      await relay.close();
    },
  };
}
