import type { IncomingHttpHeaders } from 'node:http';

export const loopbackHosts: readonly string[] = ['localhost', '127.0.0.1', '[::1]'];

/**
 * Why a request is refused, if it is: a page whose name was made to lead to this machine (DNS rebinding) shows in Host, a page of
 * another site in Origin (MCP 2025-11-25, "Streamable HTTP, security warning"). Programs send no Origin.
 */
export function forbidden({ host, origin }: IncomingHttpHeaders, allowed: readonly string[]): string | undefined {
  const called = host === undefined ? undefined : URL.parse(`http://${host}`)?.hostname;
  if (called === undefined || !allowed.includes(called)) return 'Host is not a name of this endpoint';
  if (origin === undefined) return undefined;
  const from = URL.parse(origin)?.hostname;
  return from !== undefined && allowed.includes(from) ? undefined : 'Origin is not allowed here';
}

/** What MCP puts into requests, of what a page may not without being allowed to. */
const allowedHeader = /^(accept|content-type|last-event-id|mcp-(session-id|protocol-version|method|name|param-.+))$/i;

/** What lets a page whose origin is not refused read the answers (Fetch, "CORS protocol"). */
export function shareWith(origin: string): Record<string, string> {
  return {
    'access-control-allow-origin': origin,
    'access-control-expose-headers': 'Mcp-Session-Id',
    vary: 'Origin',
  };
}

/** What a page may ask, in answer to its preflight. */
export function allowance(headers: IncomingHttpHeaders): Record<string, string> {
  const asked = (headers['access-control-request-headers'] ?? '').split(',').map((name) => name.trim());
  return {
    'access-control-allow-methods': 'GET, POST, DELETE',
    'access-control-allow-headers': asked.filter((name) => allowedHeader.test(name)).join(', '),
  };
}

/** What is missing in Accept and Content-Type, which a form of another site cannot set. */
export function unacceptable(
  method: 'POST' | 'GET',
  headers: IncomingHttpHeaders,
): [status: number, why: string] | undefined {
  const accept = headers.accept ?? '';
  const takes = (type: string) => accept.includes(type) || accept.includes('*/*');
  if (!takes('text/event-stream') || (method === 'POST' && !takes('application/json'))) {
    return [406, `Accept must list ${method === 'POST' ? 'application/json and ' : ''}text/event-stream`];
  }
  const type = (headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase();
  return method === 'POST' && type !== 'application/json' ? [415, 'Content-Type must be application/json'] : undefined;
}
