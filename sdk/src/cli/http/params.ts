import type { JsonRpcMessage, JsonRpcRequest } from '../../link/message.ts';
import { CliError } from '../cli-error.ts';
import { encodeValue } from './http-messages.ts';

/** An argument of a tool that is repeated in a header. */
interface Mirrored {
  path: string[];
  header: string;
}

const prefix = 'mcp-param-';
/** More than anybody reads, and an end to what a schema can cost. */
const maxDepth = 16;

export function paramHeaders(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  const found: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (name.toLowerCase().startsWith(prefix) && typeof value === 'string') found[name.toLowerCase()] = value;
  }
  return found;
}

/** What is wrong with a tool's schema, so that no call can have the right headers. */
class InvalidSchema extends Error {}

/**
 * The headers that a call needs because the tool's schema says `x-mcp-header` (SEP-2243): a client
 * that speaks over pipes or a data channel knows nothing of them, so that they are made here, from
 * the list of tools that passed.
 */
export class ToolHeaders {
  readonly #tools = new Map<string, Mirrored[] | InvalidSchema>();

  learn(answer: JsonRpcMessage): void {
    const tools = 'result' in answer ? answer.result['tools'] : undefined;
    if (!Array.isArray(tools)) return;
    for (const tool of tools as { name?: unknown; inputSchema?: unknown }[]) {
      if (typeof tool?.name === 'string') this.#tools.set(tool.name, mirroredIn(tool.inputSchema));
    }
  }

  /**
   * The headers of a request, none for most.
   *
   * @throws CliError `server_refused` for a tool whose schema is invalid: clients do not call those
   *   (SEP-2243)
   */
  of({ method, params }: JsonRpcRequest): Record<string, string> {
    const headers: Record<string, string> = {};
    const known = method === 'tools/call' ? this.#tools.get(String(params?.['name'])) : undefined;
    if (known instanceof InvalidSchema) {
      throw new CliError(
        'server_refused',
        `The tool cannot be called over HTTP because of its schema: ${known.message}.`,
      );
    }
    for (const { path, header } of known ?? []) {
      const value = path.reduce<unknown>((node, key) => property(node, key), params?.['arguments']);
      if (['string', 'number', 'boolean'].includes(typeof value)) headers[header] = encodeValue(String(value));
    }
    return headers;
  }
}

function mirroredIn(schema: unknown): Mirrored[] | InvalidSchema {
  try {
    const found = [...walk(schema, [])];
    if (new Set(found.map(({ header }) => header)).size === found.length) return found;
    return new InvalidSchema('an x-mcp-header occurs twice');
  } catch (error) {
    if (error instanceof InvalidSchema) return error;
    throw error;
  }
}

function* walk(schema: unknown, path: string[]): Generator<Mirrored> {
  const name = property(schema, 'x-mcp-header');
  if (name !== undefined) {
    // RFC 9110 §5.6.2, token.
    if (typeof name !== 'string' || !/^[!#$%&'*+\-.^_`|~\w]+$/.test(name)) {
      throw new InvalidSchema('an x-mcp-header is not a valid header name');
    }
    if (!['string', 'integer', 'boolean'].includes(String(property(schema, 'type')))) {
      throw new InvalidSchema(`x-mcp-header ${name} is not on a string, an integer or a boolean`);
    }
    yield { path, header: `${prefix}${name.toLowerCase()}` };
  }
  const properties = property(schema, 'properties');
  if (typeof properties !== 'object' || properties === null || path.length >= maxDepth) return;
  for (const [key, child] of Object.entries(properties)) yield* walk(child, [...path, key]);
}

const property = (node: unknown, key: string): unknown =>
  typeof node === 'object' && node !== null && Object.hasOwn(node, key)
    ? (node as { [key: string]: unknown })[key]
    : undefined;
