import type { TestContext } from 'node:test';
import { type JsonRpcMessage, listen, type WebRTCServerTransport } from 'mcp-rendezvous';

type Json = Record<string, unknown>;

/** What would run if anything of it were taken for markup. */
export const markup = `<img src=x onerror="alert(1)"><script>alert(2)</script><svg onload="alert(3)"></svg>`;
/** NUL, escape, backspace, right-to-left override, zero-width space, line separator. */
export const controls = 'a\u0000\u001B[31m\bb\u202Eevil\u200B\u2028\u0085';
export const toolCount = 5000;
export const largeBytes = 5_000_000;

const nested = (depth: number): Json => {
  let schema: Json = { type: 'string' };
  for (let level = 0; level < depth; level++) schema = { type: 'object', properties: { deeper: schema } };
  return schema;
};

const inputs: Record<string, unknown> = {
  deep: nested(230),
  wide: {
    type: 'object',
    properties: Object.fromEntries(Array.from({ length: 20_000 }, (_, n) => [`p${n}`, { type: 'string' }])),
  },
  circle: { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } },
  choices: { type: 'object', properties: { one: { enum: Array.from({ length: 100_000 }, (_, n) => `choice ${n}`) } } },
  pattern: {
    type: 'object',
    properties: { text: { type: 'string', pattern: '^(a+)+$', title: markup, description: markup } },
    required: ['text'],
  },
  proto: JSON.parse(
    '{"type":"object","properties":{"__proto__":{"type":"string"},"constructor":{"type":"string"}}}',
  ) as Json,
  nonsense: ['not', 'a', 'schema'],
  html: { type: 'object' },
  large: { type: 'object' },
  media: { type: 'object' },
  broken: { type: 'object' },
  levels: { type: 'object' },
  ask: { type: 'object' },
};

const results: Record<string, (params: Json) => unknown> = {
  html: () => ({
    content: [
      { type: 'text', text: markup },
      { type: 'text', text: controls },
    ],
  }),
  large: () => ({ content: [{ type: 'text', text: `${markup}${'x'.repeat(largeBytes)}` }] }),
  media: () => ({
    content: [
      {
        type: 'image',
        mimeType: 'image/svg+xml',
        data: btoa(`<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(4)</script></svg>`),
      },
      { type: 'image', mimeType: 'text/html', data: btoa(markup) },
      { type: 'image', mimeType: 'image/png', data: 'not base64 at all!' },
      { type: 'audio', mimeType: 'audio/wav', data: btoa('no sound') },
      { type: 'resource_link', uri: 'javascript:alert(5)', name: markup },
      { type: 'resource', resource: { uri: 'https://elsewhere.example/a.html', mimeType: 'text/html', text: markup } },
      { type: markup, more: controls },
    ],
  }),
  broken: () => ({
    content: [null, 7, 'text', [], { type: 'text' }, { type: 'resource' }, { type: 'image', data: {} }],
    structuredContent: null,
  }),
  levels: () => ({ content: [], structuredContent: nested(240) }),
  proto: (params) => ({ content: [{ type: 'text', text: `got ${JSON.stringify(params['arguments'])}` }] }),
};

/**
 * An MCP server that says whatever could harm the one who shows it. Answers with how often its
 * tools were listed.
 */
export async function serveHostile(t: TestContext, relay: string, token: string): Promise<() => number> {
  let listed = 0;
  const listener = await listen({ relay, token }, async (transport) => {
    transport.onmessage = (message) => {
      if ('method' in message && message.method === 'tools/list') listed++;
      void answer(transport, { ...message }).catch(() => {}); // the client may have gone
    };
    await transport.start();
  });
  t.after(() => listener.close());
  return () => listed;
}

async function answer(transport: WebRTCServerTransport, message: Json): Promise<void> {
  const { id, method, params } = message as { id?: unknown; method?: string; params?: Json };
  const send = (body: Json) => transport.send({ jsonrpc: '2.0', ...body } as JsonRpcMessage);
  const result = (value: unknown) => send({ id, result: value });
  switch (method) {
    case 'initialize':
      return await result({
        protocolVersion: '2025-11-25',
        capabilities: { tools: { listChanged: true }, resources: {}, prompts: {}, logging: {} },
        serverInfo: { name: markup, title: `${controls}${markup}`, version: markup },
        instructions: `${markup}\n${controls}`,
      });
    case 'notifications/initialized':
      return await flood(send);
    case 'tools/list': {
      const named = Object.entries(inputs).map(([name, inputSchema]) => ({ name, inputSchema, description: markup }));
      const many = Array.from({ length: toolCount - named.length }, (_, n) => ({
        name: `tool-${n}`,
        title: markup,
        inputSchema: {},
      }));
      return await result({ tools: [...named, ...many, { name: 7 }, null] });
    }
    case 'resources/list':
      return await result({
        resources: [{ uri: 'javascript:alert(6)', name: markup, description: 'y'.repeat(1_000_000) }],
      });
    case 'resources/templates/list':
      return await result({ resourceTemplates: 'none' });
    case 'prompts/list':
      // A list that never ends.
      return await result({ prompts: [{ name: markup, arguments: 'none' }], nextCursor: 'again' });
    case 'tools/call':
      if (params?.['name'] === 'ask') await askMuch(send);
      return await result(results[String(params?.['name'])]?.(params ?? {}) ?? { content: [] });
    default:
      if (id !== undefined && method) await send({ id, error: { code: -32_601, message: `${markup}${controls}` } });
  }
}

async function flood(send: (body: Json) => Promise<void>): Promise<void> {
  for (let n = 0; n < 3000; n++) {
    await send({
      method: 'notifications/message',
      params: { level: markup, logger: controls, data: `${n} ${markup}` },
    });
    if (n % 30 === 0) await send({ method: 'notifications/tools/list_changed' });
  }
  // Neither a request, an answer nor a notification that anyone knows.
  await send({ id: 'nobody asked', result: {} });
  await send({ method: markup, params: { controls } });
}

/** Far more questions than anyone answers. */
async function askMuch(send: (body: Json) => Promise<void>): Promise<void> {
  for (let n = 0; n < 100; n++) {
    const params = { message: `${n} ${markup}`, mode: 'url', url: 'javascript:alert(7)', elicitationId: `${n}` };
    await send({ id: `ask-${n}`, method: 'elicitation/create', params });
  }
}
