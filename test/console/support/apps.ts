import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { type JsonRpcMessage, listen } from 'mcp-rendezvous';

type Json = Record<string, unknown>;

/** A tool of the server, and the app that shows its results. */
export interface AppTool {
  /** The app's document; without one the tool has no app. */
  html?: string;
  /** Its `_meta.ui.csp`. */
  csp?: unknown;
  visibility?: string[];
  /** @default that of apps */
  mimeType?: string;
}

/** What the server of apps has seen. */
export interface Seen {
  /** The capabilities of its client. */
  capabilities: Json;
  calls: { name: string; given: unknown }[];
  /** What apps told it, by reading a resource whose URI begins with `report:`. */
  reports: string[];
}

const appType = 'text/html;profile=mcp-app';

/** An MCP server whose tools have apps. */
export async function serveApps(
  t: Pick<TestContext, 'after'>,
  access: { relay: string; token: string },
  tools: Record<string, AppTool>,
): Promise<Seen> {
  const seen: Seen = { capabilities: {}, calls: [], reports: [] };
  const answer = (method: string, params: Json): unknown => {
    switch (method) {
      case 'initialize':
        seen.capabilities = params['capabilities'] as Json;
        return {
          protocolVersion: '2025-11-25',
          capabilities: { tools: {}, resources: {} },
          serverInfo: { name: 'apps', version: '1' },
        };
      case 'tools/list':
        return {
          tools: Object.entries(tools).map(([name, { html, visibility }]) => ({
            name,
            inputSchema: { type: 'object' },
            _meta: { ui: { ...(html !== undefined && { resourceUri: `ui://test/${name}` }), visibility } },
          })),
        };
      case 'tools/call':
        seen.calls.push({ name: String(params['name']), given: params['arguments'] });
        return {
          content: [{ type: 'text', text: `Called ${String(params['name'])}.` }],
          structuredContent: { count: seen.calls.length },
        };
      case 'resources/read':
        return { contents: [read(String(params['uri']))] };
      default:
        return {};
    }
  };
  const read = (uri: string): Json => {
    if (uri.startsWith('report:')) seen.reports.push(decodeURIComponent(uri.slice('report:'.length)));
    const tool = uri.startsWith('ui://test/') ? tools[uri.slice('ui://test/'.length)] : undefined;
    if (!tool) return { uri, mimeType: 'text/plain', text: 'thanks' };
    return { uri, mimeType: tool.mimeType ?? appType, text: tool.html, _meta: { ui: { csp: tool.csp } } };
  };
  const listener = await listen(access, async (transport) => {
    transport.onmessage = (message) => {
      const { id, method, params } = message as { id?: number | string; method?: string; params?: Json };
      if (id === undefined || method === undefined) return;
      const response = { jsonrpc: '2.0', id, result: answer(method, params ?? {}) } as JsonRpcMessage;
      transport.send(response).catch(() => {}); // the client may have gone
    };
    await transport.start();
  });
  t.after(() => listener.close());
  return seen;
}

/** A host on this machine that counts who asks it for what. */
export async function startHost(t: Pick<TestContext, 'after'>, name: string) {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(request.url ?? '');
    response.setHeader('access-control-allow-origin', '*').setHeader('content-type', 'text/javascript').end('"here"');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { url: `http://${name}:${(server.address() as AddressInfo).port}`, requests };
}
