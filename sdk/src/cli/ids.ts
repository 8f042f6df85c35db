import type { JsonRpcId } from '../link/message.ts';

/** Characters of an id: those of open requests are kept, and come from the other side. */
const maxIdLength = 1024;

/** Why a request cannot be passed on under this id, if it cannot. */
export function idProblem(id: JsonRpcId): string | undefined {
  if (typeof id === 'string')
    return id.length > maxIdLength ? `An id has at most ${maxIdLength} characters.` : undefined;
  // It was rounded when it was read (RFC 8259 §6), and may now be another request's.
  return Number.isSafeInteger(id) ? undefined : 'An id that is a number is below 2^53. Use a string.';
}
