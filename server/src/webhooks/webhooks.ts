import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { request } from 'mcp-rendezvous-protocol/http';
import { reasonOf } from '../fetch-text.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { signatureOf } from './webhook-secret.ts';

export interface WebhookConfig {
  url: string;
  /** Each of them signs. */
  secrets: Buffer[];
}

/** Events that wait, above which further ones are dropped: some megabytes. */
const maxWaiting = 10_000;
/** Requests at a time. */
const maxParallel = 8;
/** Of one event, about a minute in all. */
const maxAttempts = 6;
/** How long the endpoint may take for its answer, in milliseconds. */
const timeoutMs = 10_000;
/** How long the relay waits at its end for what is not delivered yet, in milliseconds. */
const closeMs = 5_000;
/** Of an answer that nobody reads. */
const maxAnswerBytes = 65_536;
/** How often the log says that events are lost, in milliseconds. */
const lossEveryMs = 60_000;

/** 1 s, 2 s, … 16 s, each up to a quarter longer, so that instances do not come together. */
const pauseAfter = (attempt: number): number => 1000 * 2 ** (attempt - 1) * (1 + Math.random() / 4);

interface WebhookEvent {
  id: string;
  body: string;
}

/**
 * Posts events to the operator's endpoint, signed as Standard Webhooks says. An event is tried
 * again under the same id for about a minute. Events of one peer keep their order, and no others
 * do. While the endpoint fails, events wait; what has to be given up is counted and logged.
 */
export class Webhooks {
  readonly #url: URL;
  readonly #secrets: readonly Buffer[];
  readonly #log: Logger;
  readonly #metrics: Pick<Metrics, 'webhooks'>;
  readonly #pauseAfter: (attempt: number) => number;
  /** By peer, in order; a peer's first event may be on its way. */
  readonly #queues = new Map<string, WebhookEvent[]>();
  /** Peers with an event that can be sent now. */
  readonly #ready = new Set<string>();
  #waiting = 0;
  #active = 0;
  #failing = false;
  #lost = 0;
  #lossSaidAt = Number.NEGATIVE_INFINITY;
  /** Ends pauses: what waits gets one more attempt. */
  readonly #closing = new AbortController();
  /** Ends requests. */
  readonly #closed = new AbortController();
  #idle: (() => void) | undefined;

  /** @param pauseMs between an attempt (1, 2, …) and the next one */
  constructor(
    { url, secrets }: WebhookConfig,
    {
      log,
      metrics,
      pauseMs = pauseAfter,
    }: {
      log: Logger;
      metrics: Pick<Metrics, 'webhooks'>;
      pauseMs?: (attempt: number) => number;
    },
  ) {
    this.#url = new URL(url);
    this.#secrets = secrets;
    this.#log = log;
    this.#metrics = metrics;
    this.#pauseAfter = pauseMs;
  }

  /** How many events are not delivered yet. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Returns at once. Events of one `peer` are delivered one after the other. */
  send(type: string, peer: string, data: object): void {
    if (this.#waiting >= maxWaiting || this.#closed.signal.aborted) return this.#lose('dropped', 1);
    const body = JSON.stringify({ type, timestamp: new Date().toISOString(), data });
    const queue = this.#queues.get(peer);
    const event = { id: `msg_${randomUUID()}`, body };
    this.#waiting += 1;
    if (queue) return void queue.push(event);
    this.#queues.set(peer, [event]);
    this.#ready.add(peer);
    this.#work();
  }

  /** Resolves when all is delivered or given up, at most 5 s later. Never rejects. */
  async close(): Promise<void> {
    this.#closing.abort();
    if (this.#waiting > 0) {
      const { promise: idle, resolve } = Promise.withResolvers<void>();
      this.#idle = resolve;
      const timer = setTimeout(resolve, closeMs);
      await idle;
      clearTimeout(timer);
    }
    this.#closed.abort(new Error('the relay is stopping'));
    this.#lose('dropped', this.#waiting);
    this.#sayLoss();
  }

  #work(): void {
    for (const peer of this.#ready) {
      if (this.#active >= maxParallel || this.#closed.signal.aborted) return;
      this.#ready.delete(peer);
      this.#active += 1;
      void this.#deliverNext(peer).then(() => {
        this.#active -= 1;
        this.#work();
      });
    }
    if (this.#waiting === 0) this.#idle?.();
  }

  async #deliverNext(peer: string): Promise<void> {
    const queue = this.#queues.get(peer) ?? [];
    const [event] = queue;
    const result = event && (await this.#deliver(event));
    // The rest was counted as dropped.
    if (this.#closed.signal.aborted) return;
    queue.shift();
    this.#waiting -= 1;
    if (queue.length > 0) this.#ready.add(peer);
    else this.#queues.delete(peer);
    if (result === 'delivered') this.#metrics.webhooks.inc({ result });
    else this.#lose('failed', 1);
  }

  async #deliver(event: WebhookEvent): Promise<'delivered' | 'failed'> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#post(event);
        this.#recovered();
        return 'delivered';
      } catch (error) {
        if (this.#closed.signal.aborted) return 'failed';
        this.#failed(reasonOf(error, timeoutMs));
        if (attempt === maxAttempts || this.#closing.signal.aborted) return 'failed';
        await pause(this.#pauseAfter(attempt), undefined, { signal: this.#closing.signal, ref: false }).catch(() => {});
      }
    }
  }

  async #post({ id, body }: WebhookEvent): Promise<void> {
    const seconds = Math.floor(Date.now() / 1000);
    const response = await request(this.#url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'mcp-rendezvous-server',
        'webhook-id': id,
        'webhook-timestamp': String(seconds),
        'webhook-signature': signatureOf(this.#secrets, id, seconds, body),
      },
      body,
      signal: AbortSignal.any([AbortSignal.timeout(timeoutMs), this.#closed.signal]),
    });
    const { statusCode = 0, socket } = response;
    try {
      let bytes = 0;
      for await (const part of response as AsyncIterable<Buffer>) {
        bytes += part.length;
        if (bytes > maxAnswerBytes) break;
      }
    } finally {
      // Behind a 101 it would stay open.
      socket.destroy();
    }
    if (statusCode >= 200 && statusCode < 300) return;
    const redirected = statusCode >= 300 && statusCode < 400 ? ', and redirects are not followed' : '';
    throw new Error(`the endpoint answered HTTP ${statusCode}${redirected}`);
  }

  #failed(reason: string): void {
    if (this.#failing) return;
    this.#failing = true;
    // Neither a path nor a query is for the log: they may hold a key.
    const what = 'Webhooks cannot be delivered, and are tried again for a minute each';
    this.#log.warn({ url: this.#url.origin, reason }, `${what}. Check WEBHOOK_URL and its endpoint.`);
  }

  #recovered(): void {
    if (!this.#failing) return;
    this.#failing = false;
    this.#log.info({ url: this.#url.origin }, 'webhooks are delivered again');
    this.#sayLoss();
  }

  #lose(result: 'failed' | 'dropped', count: number): void {
    if (count === 0) return;
    this.#metrics.webhooks.inc({ result }, count);
    this.#lost += count;
    if (performance.now() - this.#lossSaidAt >= lossEveryMs) this.#sayLoss();
  }

  #sayLoss(): void {
    if (this.#lost === 0) return;
    const todo = 'Ask the admin API for the peers of a room, and check the endpoint of WEBHOOK_URL';
    this.#log.error({ url: this.#url.origin, lost: this.#lost }, `Webhooks were given up. ${todo}.`);
    this.#lost = 0;
    this.#lossSaidAt = performance.now();
  }
}
