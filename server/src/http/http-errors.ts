import type { FastifyError, FastifyReply } from 'fastify';
import { messages, RelayError } from '../errors.ts';
import type { Logger } from '../log.ts';

/** An HTTP answer that is an error, thrown by a handler. */
export class HttpError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.name = 'HttpError';
    this.status = status;
    this.code = code;
  }
}

/** Every error of the HTTP addresses has this form. */
export const problem = (reply: FastifyReply, status: number, code: string, message: string): FastifyReply =>
  reply.code(status).send({ error: { code, message } });

/** Answers with an error of a handler, or of Fastify itself, such as an unreadable body. */
export function answerError(error: FastifyError | Error, reply: FastifyReply, log: Logger): FastifyReply {
  if (error instanceof HttpError) return problem(reply, error.status, error.code, error.message);
  if (error instanceof RelayError && error.code === 'unavailable') {
    return problem(reply.header('retry-after', 1), 503, error.code, error.message);
  }
  const status = 'statusCode' in error ? (error.statusCode ?? 500) : 500;
  if (status < 500) return problem(reply, status, 'bad_request', error.message);
  log.error({ err: error }, 'a request could not be handled');
  return problem(reply, 500, 'internal', messages.internal);
}
