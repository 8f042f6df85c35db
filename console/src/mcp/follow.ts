import { asText, isObject, RpcError } from '../rpc/rpc.ts';
import { pause } from './pause.ts';
import type { TaskState } from './types.ts';

/** How often a task is looked at, if its server does not say, and within which bounds it may. */
const pollMs = { usual: 1000, least: 250, most: 60_000 };

export interface FollowOptions {
  /** The person does not want the task any more. */
  signal: AbortSignal | undefined;
  ontask: ((task: TaskState) => void) | undefined;
  request: (method: string, params: Record<string, unknown>, signal?: AbortSignal) => Promise<unknown>;
  /** Asks the person at the console, until `over`. */
  ask: (question: unknown, over: AbortSignal) => Promise<Record<string, unknown>>;
  /** Asks the server to tell of changes, which it need not do. Returns a function that ends it. */
  watch: (taskId: string, onchange: (task: Record<string, unknown>) => void) => () => void;
}

/**
 * Follows a task of the extension `io.modelcontextprotocol/tasks` to its end, by polling and by
 * what the server tells of it, and answers what it asks meanwhile. Resolves with what the request
 * would have resolved with.
 *
 * @throws RpcError the error that ended the task; or the reason of `signal`
 */
export async function followTask(
  created: Record<string, unknown>,
  { signal, ontask, request, ask, watch }: FollowOptions,
): Promise<unknown> {
  const { taskId } = created;
  if (typeof taskId !== 'string') throw new Error('The server answered with a task that has no taskId.');
  const over = new AbortController();
  const asked = new Set<string>();
  /** An answer was not taken, or there is none. It is only looked at between two polls. */
  const broken = new AbortController();
  const ending = AbortSignal.any(signal ? [signal, broken.signal] : [broken.signal]);
  let told: Record<string, unknown> | undefined;
  let news = Promise.withResolvers<void>();
  const unwatch = watch(taskId, (task) => {
    told = task;
    news.resolve();
  });
  let ended = false;
  const answer = async (key: string, question: unknown): Promise<void> => {
    const response = await ask(question, over.signal);
    await request('tasks/update', { taskId, inputResponses: Object.fromEntries([[key, response]]) });
  };
  try {
    for (let task = created; ;) {
      ontask?.({ status: asText(task['status']), statusMessage: asText(task['statusMessage']) });
      const { status, result, error, inputRequests } = task;
      ended = status === 'completed' || status === 'failed' || status === 'cancelled';
      if (status === 'completed') return result;
      if (status === 'failed') throw failureOf(error, asText(task['statusMessage']));
      if (status === 'cancelled') throw new Error('The server cancelled the task.');
      // Every poll has all questions that are open; each is asked once.
      for (const [key, question] of Object.entries(isObject(inputRequests) ? inputRequests : {})) {
        if (asked.has(key)) continue;
        asked.add(key);
        answer(key, question).catch((reason: unknown) => broken.abort(reason));
      }
      await pause(intervalOf(task['pollIntervalMs']), ending, news.promise);
      const next = told ?? (await request('tasks/get', { taskId }, signal));
      if (!isObject(next)) throw new Error('The server answered tasks/get with no task.');
      task = next;
      // What came before the answer is older than the answer.
      told = undefined;
      news = Promise.withResolvers();
    }
  } catch (error) {
    // Whether the server honors it need not be waited for.
    if (!ended) request('tasks/cancel', { taskId }).catch(() => {});
    throw error;
  } finally {
    unwatch();
    over.abort();
  }
}

function failureOf(error: unknown, message: string): RpcError {
  const { code, message: said, data } = isObject(error) ? error : {};
  return new RpcError(Number(code ?? -32_603), asText(said, message || 'The task failed.'), data);
}

const intervalOf = (given: unknown): number =>
  typeof given === 'number' ? Math.min(Math.max(given, pollMs.least), pollMs.most) : pollMs.usual;
