import { RendezvousError } from 'mcp-rendezvous-protocol';
import { type Outgoing, ProxyError, request } from 'mcp-rendezvous-protocol/http';

/** Far more than a JWKS or TURN credentials have. */
const maxCharacters = 1_048_576;

/**
 * The text that a URL answers with, by way of the proxy that the environment names. Redirects are
 * not followed: another address is another provider's, until the operator says so.
 *
 * @throws Error for another status than `expected`, and what `reasonOf` can explain
 */
export async function fetchText(
  url: URL,
  expected: readonly number[],
  outgoing: Omit<Outgoing, 'signal'>,
  timeoutMs: number,
): Promise<string> {
  const response = await request(url, { ...outgoing, signal: AbortSignal.timeout(timeoutMs) });
  const { statusCode = 0 } = response;
  if (!expected.includes(statusCode)) {
    response.destroy();
    const redirected = statusCode >= 300 && statusCode < 400 ? ', and redirects are not followed' : '';
    throw new Error(`the endpoint answered HTTP ${statusCode}${redirected}`);
  }
  let text = '';
  for await (const part of response.setEncoding('utf8') as AsyncIterable<string>) {
    text += part;
    if (text.length > maxCharacters) throw new Error(`the response has more than ${maxCharacters} characters`);
  }
  return text;
}

/**
 * Why a request failed, for people: Node hides the reason of a connection that failed in causes.
 */
export function reasonOf(error: unknown, timeoutMs: number): string {
  if (error instanceof ProxyError || error instanceof RendezvousError) return error.message.replace(/\.$/, '');
  const { name, message, code, cause } = error as NodeJS.ErrnoException & { cause?: unknown };
  if (name === 'TimeoutError') return `the endpoint did not answer within ${timeoutMs} ms`;
  if (cause instanceof Error) return reasonOf(cause, timeoutMs);
  return code === undefined ? message : `the connection failed (${code})`;
}
