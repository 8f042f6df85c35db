import http from 'node:http';
import https from 'node:https';
import { once } from 'node:events';
import { CliError } from '../cli-error.ts';
import { maxMessageBytes } from '../jsonlines.ts';

export interface Outgoing {
  method: 'POST' | 'GET' | 'DELETE';
  headers: Record<string, string>;
  body?: string;
  signal: AbortSignal;
}

/** What TCP waits before it asks a silent server whether it is there. */
const tcpKeepAliveMs = 15_000;

/**
 * Sends a request; resolves with the head of the answer. There is no time limit, because a tool may take an hour. Every request
 * has a connection of its own: one that the server closed meanwhile would fail a POST that may not be repeated (RFC 9110 §9.2.2).
 *
 * @throws CliError `server_unreachable`
 */
export async function send(url: URL, { method, headers, body, signal }: Outgoing): Promise<http.IncomingMessage> {
  const client = url.protocol === 'https:' ? https : http;
  const request = client.request(url, { method, headers, signal, agent: false });
  request.setSocketKeepAlive(true, tcpKeepAliveMs);
  request.on('error', () => {}); // once() rejects with the first one; a reset may follow
  request.end(body);
  try {
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    return response;
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    const { code = 'unknown reason' } = error as NodeJS.ErrnoException;
    throw new CliError('server_unreachable', `The HTTP server does not answer (${code}). Is it running?`, true);
  }
}

/** What a chunk takes up beside its bytes. */
const chunkBytes = 256;

/** The whole body as text. */
export async function readText(response: http.IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length + chunkBytes;
    if (size > maxMessageBytes) {
      throw new CliError('message_too_large', `A message over HTTP is longer than ${maxMessageBytes} bytes.`);
    }
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** The media type of a message without its parameters. */
export const mediaType = ({ headers }: http.IncomingMessage): string =>
  (headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase();
