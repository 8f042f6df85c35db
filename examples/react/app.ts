import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { McpServer } from '@modelcontextprotocol/server';
import { build } from 'esbuild';
import { listen } from 'mcp-rendezvous';
import { createRoomToken } from 'mcp-rendezvous/token';
import { type App, type Files, startApp } from '../browser/app.ts';

const page = (name: string): string => fileURLToPath(new URL(`page/${name}`, import.meta.url));
const browserPage = (name: string): string => page(`../../browser/page/${name}`);

/** React as in development: StrictMode mounts every component twice. */
async function readPages(conditions: string[]): Promise<Files> {
  const { outputFiles } = await build({
    entryPoints: [page('app.tsx')],
    inject: [browserPage('jitless.ts')],
    bundle: true,
    format: 'esm',
    platform: 'browser',
    jsx: 'automatic',
    conditions,
    write: false,
  });
  return new Map([
    ['/', ['text/html; charset=utf-8', await readFile(page('index.html'))]],
    ['/icon.svg', ['image/svg+xml', await readFile(browserPage('icon.svg'))]],
    ['/app.js', ['text/javascript', outputFiles[0]!.contents]],
  ]);
}

/** The page and its relay, and an MCP server in the room; `sessions` are those that it has had. */
export async function startReactApp(
  port: number,
  conditions: string[] = [],
): Promise<App & { sessions: { close(): Promise<void> }[] }> {
  const app = await startApp(port, conditions, readPages);
  const token = () => createRoomToken({ key: app.key, room: 'desk', role: 'server', subject: 'desktop', ttl: '5m' });
  const sessions: { close(): Promise<void> }[] = [];
  const listener = await listen({ relay: app.relay, token }, async (transport) => {
    const server = new McpServer({ name: 'desktop', version: '1.0.0' });
    server.registerTool('hello', { description: 'Says hello.' }, () => ({
      content: [{ type: 'text', text: 'Hello.' }],
    }));
    sessions.push(server);
    await server.connect(transport);
  });
  return {
    ...app,
    sessions,
    async close() {
      await listener.close();
      await app.close();
    },
  };
}
