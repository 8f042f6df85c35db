import type { IncomingMessage } from 'node:http';
import { CliError } from '../cli-error.ts';

export const isSuccess = ({ statusCode = 0 }: IncomingMessage): boolean => statusCode >= 200 && statusCode < 300;

/** A stream may be there later: to the server, the one before it may not be over. */
const passing: ReadonlySet<number> = new Set([408, 409, 425, 429]);

/**
 * Whether a server that is asked for a stream will not have it later either.
 *
 * @param known it had one before; then a 400 is about what was asked for
 */
export function refusesForGood({ statusCode = 0 }: IncomingMessage, known: boolean): boolean {
  if (statusCode < 400 || statusCode >= 500) return false;
  return !passing.has(statusCode) && !(known && statusCode === 400);
}

export function refused(response: IncomingMessage): CliError {
  const { statusCode = 0, statusMessage = '', headers } = response;
  const status = `${statusCode} ${statusMessage}`.trim();
  const retryable = statusCode >= 500 || statusCode === 429;
  return new CliError(
    'server_refused',
    `The HTTP server answered ${status}${hint(statusCode, headers.location)}.`,
    retryable,
  );
}

function hint(status: number, location: string | undefined): string {
  if (status === 401) return ": authentication required; pass a --header such as 'Authorization: Bearer ${TOKEN}'";
  if (status === 403) return ': access denied, by the server or a firewall in front of it; check the --header values';
  if (status === 404 || status === 405) return ': check that the path of --url is the MCP endpoint, such as /mcp';
  if (status >= 300 && status < 400 && location)
    return `, to ${URL.parse(location)?.origin ?? 'another path'}: pass that URL as --url`;
  return status >= 200 && status < 300 ? ' without a JSON-RPC message' : '';
}

export const notRead = (): CliError => new CliError('not_read', 'The HTTP server does not read its requests.', true);

export const lostAnswer = (): CliError =>
  new CliError(
    'server_unreachable',
    'The HTTP server closed the connection before it answered. The request may have been carried out.',
    true,
  );
