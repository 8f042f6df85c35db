import type { JsonRpcMessage, JsonRpcRequest } from '../../link/message.ts';
import { encodeValue } from './wire.ts';

/** An argument of a tool that is repeated in a header. */
interface Mirrored {
  path: string[];
  header: string;
}

const prefix = 'mcp-param-';
/** More than anybody reads, and an end to what a schema can cost. */
const maxDepth = 16;

/** The `Mcp-Param-*` headers that came with a message. */
export function paramHeaders(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name.toLowerCase().startsWith(prefix) && typeof value === 'string') found[name.toLowerCase()] = value;
  }
  return found;
}

/**
 * The headers that a call needs because the tool's schema says `x-mcp-header` (SEP-2243): a client that speaks over pipes or a
 * data channel knows nothing of them, so that they are made here, from the list of tools that passed.
 */
export class ToolHeaders {
  readonly #tools = new Map<string, Mirrored[]>();

  /** Looks at the answer to a `tools/list`. */
  learn(answer: JsonRpcMessage): void {
    const tools = 'result' in answer ? answer.result['tools'] : undefined;
    if (!Array.isArray(tools)) return;
    for (const tool of tools as { name?: unknown; inputSchema?: unknown }[]) {
      if (typeof tool?.name === 'string') this.#tools.set(tool.name, [...mirrored(tool.inputSchema, [])]);
    }
  }

  of({ method, params }: JsonRpcRequest): Record<string, string> {
    const headers: Record<string, string> = {};
    if (method !== 'tools/call') return headers;
    for (const { path, header } of this.#tools.get(String(params?.['name'])) ?? []) {
      const value = path.reduce<unknown>((node, key) => property(node, key), params?.['arguments']);
      if (['string', 'number', 'boolean'].includes(typeof value)) headers[header] = encodeValue(String(value));
    }
    return headers;
  }
}

function* mirrored(schema: unknown, path: string[]): Generator<Mirrored> {
  const name = property(schema, 'x-mcp-header');
  // RFC 9110 §5.6.2, token.
  if (typeof name === 'string' && /^[!#$%&'*+\-.^_`|~\w]+$/.test(name)) yield { path, header: `${prefix}${name}` };
  const properties = property(schema, 'properties');
  if (typeof properties !== 'object' || properties === null || path.length >= maxDepth) return;
  for (const [key, child] of Object.entries(properties)) yield* mirrored(child, [...path, key]);
}

const property = (node: unknown, key: string): unknown =>
  typeof node === 'object' && node !== null && Object.hasOwn(node, key)
    ? (node as { [key: string]: unknown })[key]
    : undefined;
