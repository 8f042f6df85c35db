import { type Signal, signal } from '@preact/signals';
import { isObject, type Rpc } from '../rpc/rpc.ts';
import { envelope, metaKey } from './envelope.ts';

/** What a subscription is about: members of `notifications`. */
export type Filter = Record<string, unknown>;

/** One `subscriptions/listen`. */
export interface Subscription {
  /** Of its request, and so of all its notifications. */
  id: number;
  asked: Filter;
  /** What the server agreed to; undefined until it has. */
  agreed?: Filter;
  /** How many notifications came. */
  count: number;
  /** Why there are no more. */
  ended?: string;
}

/** Which member of the filter a notification belongs to. */
const members: Record<string, string> = {
  'notifications/tools/list_changed': 'toolsListChanged',
  'notifications/prompts/list_changed': 'promptsListChanged',
  'notifications/resources/list_changed': 'resourcesListChanged',
  'notifications/resources/updated': 'resourceSubscriptions',
  'notifications/tasks': 'taskIds',
};

/** The subscriptions of a client of 2026-07-28, all over one channel. */
export class Subscriptions {
  /** Those that were not closed here. */
  readonly all: Signal<readonly Subscription[]> = signal([]);
  readonly #rpc: Rpc;
  readonly #agree = new Map<number, (agreed: Filter) => void>();
  readonly #end = new Map<number, (reason: string) => void>();
  readonly #told = new Map<number, (params: Record<string, unknown>) => void>();

  constructor(rpc: Rpc) {
    this.#rpc = rpc;
  }

  /**
   * Opens one.
   *
   * @param onend the server ended it, after it had agreed
   * @param ontold takes its notifications; without it they are for the session
   * @returns `agreed` rejects when the server refuses it
   */
  open(
    asked: Filter,
    onend: () => void,
    ontold?: (params: Record<string, unknown>) => void,
  ): { agreed: Promise<Filter>; close: () => void } {
    const agreed = Promise.withResolvers<Filter>();
    // Whoever does not wait for it finds it in the list.
    agreed.promise.catch(() => {});
    const closing = new AbortController();
    let id = -1;
    const over = (reason: string, error?: unknown): void => {
      this.#agree.delete(id);
      this.#told.delete(id);
      if (!this.#end.delete(id)) return;
      this.#change(id, { ended: reason });
      agreed.reject(error ?? new Error(reason));
      onend();
    };
    const params = { notifications: asked, _meta: envelope() };
    const onid = (given: number): void => {
      id = given;
      this.all.value = [...this.all.value, { id, asked, count: 0 }];
      this.#agree.set(id, agreed.resolve);
      this.#end.set(id, over);
      if (ontold) this.#told.set(id, ontold);
    };
    this.#rpc.request('subscriptions/listen', params, { signal: closing.signal, onid }).then(
      () => over('The server ended it.'),
      (error: unknown) => over((error as Error).message, error),
    );
    const close = (): void => {
      this.#end.delete(id);
      this.#agree.delete(id);
      this.#told.delete(id);
      this.all.value = this.all.value.filter((one) => one.id !== id);
      closing.abort(new Error('closed'));
    };
    return { agreed: agreed.promise, close };
  }

  /**
   * Whether a notification is for the session: it is of no subscription, or of an open one that
   * takes none itself.
   */
  admits(method: string, params: Record<string, unknown>): boolean {
    if (method === 'notifications/cancelled') {
      this.#end.get(params['requestId'] as number)?.('The server ended it.');
      return false;
    }
    const meta = isObject(params['_meta']) ? params['_meta'] : {};
    const id = meta[metaKey('subscriptionId')] as number;
    if (method === 'notifications/subscriptions/acknowledged') {
      const agreed = isObject(params['notifications']) ? params['notifications'] : {};
      if (this.#agree.has(id)) this.#change(id, { agreed });
      this.#agree.get(id)?.(agreed);
      this.#agree.delete(id);
      return false;
    }
    if (!Object.hasOwn(members, method)) return true;
    const one = this.all.value.find((other) => other.id === id);
    if (!one?.agreed || one.ended !== undefined || !one.asked[members[method]!]) return false;
    this.#change(id, { count: one.count + 1 });
    const told = this.#told.get(id);
    told?.(params);
    return !told;
  }

  #change(id: number, change: Partial<Subscription>): void {
    this.all.value = this.all.value.map((one) => (one.id === id ? { ...one, ...change } : one));
  }
}
