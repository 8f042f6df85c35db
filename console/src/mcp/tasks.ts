import { isObject, methodNotFound, RpcError } from '../rpc/rpc.ts';
import type { Task } from './types.ts';

/**
 * MCP's tasks at the client's side (revision 2025-11-25): a request that the server fetches the
 * answer to later.
 */
export class Tasks {
  readonly #tasks = new Map<string, { task: Task; result: Promise<unknown>; cancel: AbortController }>();

  /** Starts the work, and answers the request with a task in its place. */
  create(asked: unknown, work: (signal: AbortSignal) => Promise<unknown>): { task: Task } {
    const cancel = new AbortController();
    const now = new Date().toISOString();
    const ttl = isObject(asked) && typeof asked['ttl'] === 'number' ? asked['ttl'] : null;
    const task: Task = {
      // Not randomUUID(), which pages over plain http do not have.
      taskId: crypto.getRandomValues(new Uint32Array(4)).join('-'),
      status: 'input_required',
      statusMessage: 'Waiting for the console user.',
      createdAt: now,
      lastUpdatedAt: now,
      ttl,
      pollInterval: 500,
    };
    const result = work(cancel.signal);
    const end = (status: Task['status']) => Object.assign(task, { status, lastUpdatedAt: new Date().toISOString() });
    result.then(
      () => end('completed'),
      () => end(cancel.signal.aborted ? 'cancelled' : 'failed'),
    );
    this.#tasks.set(task.taskId, { task, result, cancel });
    if (ttl !== null) setTimeout(() => this.#tasks.delete(task.taskId), Math.min(ttl, 3_600_000));
    return { task: { ...task } };
  }

  /** Answers `tasks/…`. */
  async answer(method: string, { taskId }: Record<string, unknown>): Promise<unknown> {
    if (method === 'tasks/list') return { tasks: Array.from(this.#tasks.values(), ({ task }) => ({ ...task })) };
    const known = this.#tasks.get(String(taskId));
    if (!known) throw new RpcError(-32_602, 'No such task.');
    switch (method) {
      case 'tasks/get':
        return { ...known.task };
      case 'tasks/result':
        return { ...((await known.result) as object), _meta: { 'io.modelcontextprotocol/related-task': { taskId } } };
      case 'tasks/cancel':
        known.cancel.abort();
        return { ...known.task, status: 'cancelled' };
      default:
        throw new RpcError(methodNotFound, `No method ${method} here.`);
    }
  }
}
