import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import zlib from 'node:zlib';
import { type Outgoing, ProxyError, request } from 'mcp-rendezvous-protocol/http';
import { RendezvousError } from 'mcp-rendezvous-protocol';
import { CliError } from '../cli-error.ts';
import { maxMessageBytes } from '../jsonlines.ts';

/**
 * Sends a request; resolves with the head of the answer. There is no time limit, because a tool may
 * take an hour. Every request has a connection of its own: one that the server closed meanwhile
 * would fail a POST that may not be repeated (RFC 9110 §9.2.2).
 *
 * @throws CliError `server_unreachable`
 */
export async function send(url: URL, outgoing: Outgoing): Promise<IncomingMessage> {
  try {
    return await request(url, outgoing);
  } catch (error) {
    if (outgoing.signal.aborted || error instanceof RendezvousError) throw error;
    if (error instanceof ProxyError) {
      throw new CliError('server_unreachable', `The HTTP server is unreachable. ${error.message}`, true);
    }
    const { code = 'unknown reason' } = error as NodeJS.ErrnoException;
    throw new CliError(
      'server_unreachable',
      `The HTTP server does not answer (${code}). Check that it is running.`,
      true,
    );
  }
}

/**
 * The body of a message, decoded. Nothing asks for compression, but some servers and proxies
 * compress all the same (RFC 9110 §8.4).
 *
 * @throws CliError `server_refused` for a coding that is not known
 */
export function bodyOf(message: IncomingMessage): Readable {
  const codings = (message.headers['content-encoding'] ?? '').toLowerCase().split(',').toReversed();
  return codings.reduce<Readable>((body, coding) => decoded(body, coding.trim()), message);
}

function decoded(body: Readable, coding: string): Readable {
  if (coding === '' || coding === 'identity') return body;
  const decoder = decoders[coding]?.();
  if (!decoder) throw new CliError('server_refused', 'The HTTP server answered in an unknown Content-Encoding.');
  body.on('error', (error) => decoder.destroy(error));
  decoder.once('close', () => body.destroy());
  return body.pipe(decoder);
}

// Each part of a stream of events is decoded as soon as it is here.
const decoders: Record<string, () => zlib.Gunzip | zlib.BrotliDecompress | zlib.Inflate> = {
  gzip: () => zlib.createGunzip(),
  'x-gzip': () => zlib.createGunzip(),
  deflate: () => zlib.createInflate(),
  br: () => zlib.createBrotliDecompress(),
};

/** What a chunk takes up beside its bytes. */
const chunkBytes = 256;

/** The whole body as text, without a byte-order mark. */
export async function readText(body: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length + chunkBytes;
    if (size > maxMessageBytes) {
      throw new CliError('message_too_large', `An HTTP message is longer than ${maxMessageBytes} bytes.`);
    }
  }
  return new TextDecoder().decode(Buffer.concat(chunks));
}

export const mediaType = ({ headers }: IncomingMessage): string =>
  (headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase();
