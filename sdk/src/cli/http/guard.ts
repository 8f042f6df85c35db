import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

export interface Access {
  /** It listens on loopback, and is called by the names of that, with its port. */
  loopback: boolean;
  /** Other host names under which clients may call, in lower case, with any port. */
  hosts: readonly string[];
  /** Origins whose pages may call, each in full: scheme, host and port. */
  origins: readonly string[];
  token?: string | undefined;
}

export const loopbackHosts: readonly string[] = ['localhost', '127.0.0.1', '[::1]'];

/**
 * Why a request is refused, if it is: a page whose name was made to lead to this machine (DNS
 * rebinding) shows in Host, a page of another site in Origin (MCP 2025-11-25, "Streamable HTTP,
 * security warning"). Programs send no Origin.
 *
 * @param port the port that this endpoint listens on
 */
export function forbidden(
  { host = '', origin }: IncomingHttpHeaders,
  port: number | undefined,
  { loopback, hosts, origins }: Access,
): string | undefined {
  const [, name = '', called = '80'] = /^(\[[^\]]+\]|[^:@/?#\\\s]+)(?::(\d{1,5}))?$/.exec(host.toLowerCase()) ?? [];
  const known = hosts.includes(name) || (loopback && loopbackHosts.includes(name) && Number(called) === port);
  if (!known) return 'The Host header is not a name of this endpoint. Allow it with --allow-host';
  if (origin === undefined || origins.includes(origin)) return undefined;
  return 'This origin is not allowed. If you trust it, allow it with --allow-origin';
}

/** Whether a request presents the token. How long that takes says nothing of the token. */
export function presents(token: string, { authorization = '' }: IncomingHttpHeaders): boolean {
  const [, given = ''] = /^Bearer +(\S+) *$/i.exec(authorization) ?? [];
  return timingSafeEqual(digest(given), digest(token));
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

/** The MCP headers that a page may send only with permission. */
const allowedHeader =
  /^(accept|authorization|content-type|last-event-id|mcp-(session-id|protocol-version|method|name|param-.+))$/i;

/** What lets a page whose origin is not refused read the answers (Fetch, "CORS protocol"). */
export function shareWith(origin: string): Record<string, string> {
  return {
    'access-control-allow-origin': origin,
    'access-control-expose-headers': 'Mcp-Session-Id, WWW-Authenticate',
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
