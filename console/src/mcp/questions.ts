import { Queue } from '../consent/queue.ts';
import { RpcError } from '../rpc/rpc.ts';

/** Something that the server, or an app of it, asks of the person at the console. */
export interface Ask {
  kind: 'sampling' | 'elicitation' | 'roots' | 'app';
  params: Record<string, unknown>;
  /** Answers it, once. */
  answer: (result: Record<string, unknown>) => void;
  refuse: (message: string) => void;
  /** Who may withdraw it, if it is not the server. */
  by?: 'call';
  /** Ends the app that asks. */
  stop?: () => void;
}

/** The person at the console does not answer. */
export const refused = -1;

/** Questions that may wait for the person at the same time; more than that is no conversation. */
export const mostAsks = 10;

/** What the server asks; oldest first. */
export class Questions extends Queue<Ask> {
  /**
   * Resolves with the answer of the person at the console.
   *
   * @param withdrawn the question is void
   * @throws RpcError when there are too many questions, the person refuses, or the question is void
   */
  ask(
    kind: Ask['kind'],
    params: Record<string, unknown>,
    withdrawn: AbortSignal,
    by?: Ask['by'],
  ): Promise<Record<string, unknown>> {
    if (this.waiting >= mostAsks) {
      throw new RpcError(-32_000, `${mostAsks} questions are already waiting at this console.`);
    }
    const { promise, resolve, reject } = Promise.withResolvers<Record<string, unknown>>();
    const place = this.add(({ take }) => ({
      kind,
      params,
      ...(by && { by }),
      answer: (result) => void (take() && resolve(result)),
      refuse: (message) => void (take() && reject(new RpcError(refused, message))),
    }));
    const withdraw = (): void =>
      void (place.withdraw() && reject(new RpcError(-32_000, `The ${by ?? 'server'} has withdrawn the question.`)));
    withdrawn.addEventListener('abort', withdraw);
    if (withdrawn.aborted) withdraw();
    return promise;
  }
}
