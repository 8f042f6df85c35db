import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import { messages, RelayError } from '../errors.ts';
import type { Logger } from '../log.ts';

interface HttpErrorEntry {
  status: number;
  /** What happened, in one sentence. */
  what: string;
  /** What to do about it. */
  remedy: string;
}

/** The codes of the HTTP API. The page of all codes is made from this (scripts/codes.ts). */
export const httpErrors = {
  bad_request: {
    status: 400,
    what: 'The body, a parameter or the form of the request is invalid (413: too large, 415: not JSON).',
    remedy: 'Correct what the message names.',
  },
  subprotocol_required: {
    status: 400,
    what: 'The WebSocket handshake does not offer the subprotocol of this relay.',
    remedy: 'Send it in `Sec-WebSocket-Protocol`, and check that no proxy drops that header.',
  },
  issuer_required: {
    status: 400,
    what: 'The relay has several issuers, and the request names none.',
    remedy: 'Add `issuer`.',
  },
  unknown_issuer: {
    status: 400,
    what: 'The issuer is not configured at this relay.',
    remedy: 'Use one from `RELAY_ISSUERS_FILE`.',
  },
  unauthorized: {
    status: 401,
    what: 'The admin token is missing or wrong.',
    remedy: 'Send `Authorization: Bearer $ADMIN_TOKEN`.',
  },
  origin_not_allowed: {
    status: 403,
    what: 'The page is not allowed to use this relay, or asks for development tokens from elsewhere.',
    remedy:
      "Add the page's origin to `ALLOWED_ORIGINS`. Open the console on the machine of the relay for development tokens.",
  },
  not_found: {
    status: 404,
    what: 'There is no such URL, or the admin API is off.',
    remedy: 'Correct the path. Set `ADMIN_TOKEN` to have the admin API.',
  },
  room_not_found: {
    status: 404,
    what: 'The room has no peers.',
    remedy: 'List the rooms with `GET /v1/rooms`.',
  },
  peer_not_found: {
    status: 404,
    what: 'The room has no such peer.',
    remedy: 'List the peers with `GET /v1/rooms/<room>`. The peer may have left.',
  },
  no_signing_key: {
    status: 409,
    what: 'The relay has only public keys for this issuer and cannot sign tokens.',
    remedy: 'Ask the issuer for the token.',
  },
  upgrade_required: {
    status: 426,
    what: 'An ordinary request arrived where WebSocket connections are accepted.',
    remedy: 'Connect with a WebSocket, and check that no proxy drops `Upgrade`.',
  },
  rate_limited: {
    status: 429,
    what: 'Too many requests with a wrong admin token came from this address.',
    remedy: 'Wait for the seconds in `Retry-After`, and send the right token.',
  },
  internal: {
    status: 500,
    what: 'The relay failed.',
    remedy: 'Look into its log.',
  },
  going_away: {
    status: 503,
    what: 'This instance is draining (`/readyz`).',
    remedy: 'Send peers to another instance. Load balancers do this by themselves.',
  },
  unavailable: {
    status: 503,
    what: 'Redis, or the service that has the keys of an issuer, does not respond.',
    remedy: 'Try again later. The log and the body of `/readyz` say what is missing.',
  },
} satisfies Record<string, HttpErrorEntry>;

export type HttpErrorCode = keyof typeof httpErrors;

/** An HTTP answer that is an error, thrown by a handler. */
export class HttpError extends Error {
  readonly code: HttpErrorCode;

  constructor(code: HttpErrorCode, message: string) {
    super(message);
    this.name = 'HttpError';
    this.code = code;
  }
}

/**
 * Every error of the HTTP addresses has this form.
 *
 * @param status of Fastify's own errors, which have several with one code
 */
export const problem = (
  reply: FastifyReply,
  code: HttpErrorCode,
  message: string,
  status = httpErrors[code].status,
): FastifyReply => reply.code(status).send({ error: { code, message } });

/**
 * Makes a function that answers with an error of a handler, or of Fastify itself, such as an
 * unreadable body.
 *
 * @param onrefused called for a request whose form Fastify refuses, with the code of its error
 */
export const errorAnswer =
  (log: Logger, onrefused: (request: FastifyRequest, reason: string) => void) =>
  (error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    if (error instanceof HttpError) return problem(reply, error.code, error.message);
    if (error instanceof RelayError && error.code === 'unavailable') {
      return problem(reply.header('retry-after', 1), 'unavailable', error.message);
    }
    const status = 'statusCode' in error ? (error.statusCode ?? 500) : 500;
    if (status < 500) {
      onrefused(request, 'code' in error ? error.code : error.name);
      return problem(reply, 'bad_request', error.message, status);
    }
    log.error({ err: error }, 'an HTTP request failed unexpectedly');
    return problem(reply, 'internal', messages.internal);
  };
