import type { JsonRpcId } from '../link/message.ts';

/** Characters of an id: those of open requests are kept, and come from the other side. */
const maxIdLength = 1024;

/**
 * The pending request that a response with this id answers. Some servers answer a numeric id as a
 * string, or the other way around.
 */
export function pendingId(id: JsonRpcId | undefined, pending: { has(id: JsonRpcId): boolean }): JsonRpcId | undefined {
  if (id === undefined || pending.has(id)) return id;
  const other = typeof id === 'number' ? String(id) : Number(id);
  return String(other) === String(id) && pending.has(other) ? other : undefined;
}

/** Why a request cannot be passed on under this id, if it cannot. */
export function idProblem(id: JsonRpcId): string | undefined {
  if (typeof id === 'string')
    return id.length > maxIdLength ? `An id must have at most ${maxIdLength} characters.` : undefined;
  // It was rounded when it was read (RFC 8259 §6), and may now be another request's.
  return Number.isSafeInteger(id) ? undefined : 'A numeric id must be below 2^53. Use a string.';
}
