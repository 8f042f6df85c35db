import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { MessageMeta } from '../../link/link.ts';
import { isId, isResponse, type JsonRpcId, type JsonRpcMessage, type JsonRpcRequest } from '../../link/message.ts';
import { backoffMs } from '../../signaling/backoff.ts';
import { type Clock, systemClock } from '../../util/clock.ts';
import { cancelledId, type End, errorResponse, watchClosing } from '../bridge.ts';
import { pendingId } from '../ids.ts';
import { ClientView } from './client-view.ts';
import { type Ended, isFinal } from './final.ts';
import { Questions } from './questions.ts';
import type { ServerMemory } from './server-memory.ts';
import { WaitingRequests } from './waiting-requests.ts';

/** One session with a server. */
export interface ServerSession extends End {
  /** Who serves, as the relay vouches for it. */
  readonly peer?: { subject: string } | undefined;
}

export interface StandingServerOptions {
  /** A new session, not started. It may take as long as it takes to open. */
  connect: () => ServerSession;
  /** What a request waits for a server that is away, in milliseconds. */
  waitMs: number;
  /** The same for the first request, which a client sends when it starts. */
  timeoutMs: number;
  /** Whether the next session may have another token than one that was rejected with this code. */
  renewable: (code: string) => boolean;
  /** Answers for a server that is away. @default requests wait */
  memory?: ServerMemory | undefined;
  /** What becomes of the sessions, for people. */
  say: (line: string) => void;
  /** @default the system's clock */
  clock?: Clock;
  /** @default full jitter, up to 10 s */
  pauseMs?: (attempt: number) => number;
}

/** A session that was of no use in this time is followed by a pause, like a failed attempt. */
const provenMs = 10_000;
/** How long a final verdict waits for a request that it can be the answer to, in milliseconds. */
const firstRequestMs = 2_000;
/** The longest pause while a request waits: somebody looks at the screen. */
const askedPauseMs = 2_000;
/** A server that is there has answered by then, so that the memory of it is not needed. */
const recallMs = 2_000;

interface Open {
  readonly end: ServerSession;
  /** Requests of the client that are unanswered. */
  readonly pending: Map<JsonRpcId, JsonRpcRequest>;
  /** Handles the answers to the bridge's own requests. */
  readonly own: Map<JsonRpcId, (answer: JsonRpcMessage) => void>;
  /** A request of the client was answered. */
  useful: boolean;
}

/**
 * A server that stays while its sessions come and go: when one is lost, what is pending is answered
 * with an error, and the next one begins with what the client said in the first. No request is sent
 * twice. It closes with a final verdict only.
 */
export class StandingServer implements End {
  onmessage?: End['onmessage'];
  onclose?: End['onclose'];
  onerror?: End['onerror'];
  readonly #options: StandingServerOptions;
  readonly #clock: Clock;
  readonly #view = new ClientView();
  readonly #questions = new Questions();
  readonly #waiting: WaitingRequests;
  readonly #connected = Promise.withResolvers<void>();
  readonly #closing = new AbortController();
  /** The client has sent a request, or is about to leave. */
  readonly #asked = Promise.withResolvers<void>();
  #subject: string | undefined;
  /** The session that is open, or being opened. */
  #session: ServerSession | undefined;
  /** The session that takes the client's messages. */
  #open: Open | undefined;
  #awaySince = 0;
  /** Why there is no session. */
  #lastError: Error | undefined;
  #lastCall = false;
  #count = 0;
  /** A request has begun to wait during a pause. */
  #hurry: (() => void) | undefined;

  constructor(options: StandingServerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#waiting = new WaitingRequests(this.#clock);
  }

  async start(): Promise<void> {
    void this.#run();
  }

  async send(message: JsonRpcMessage, meta?: MessageMeta): Promise<void> {
    if (isResponse(message)) {
      const id = isId(message.id) ? this.#questions.answered(message.id) : undefined;
      // Whoever asked is gone.
      if (id === undefined) return;
      return await this.#open?.end.send({ ...message, id }, meta);
    }
    if ('id' in message) return await this.#request(message, meta);
    this.#view.told(message);
    const cancelled = cancelledId(message);
    if (cancelled !== undefined && this.#waiting.cancel(cancelled)) return;
    if (cancelled !== undefined) this.#open?.pending.delete(cancelled);
    // A server that is away needs no notification: the next one is told what matters.
    await this.#open?.end.send(message, meta);
  }

  async lastCall(): Promise<void> {
    this.#lastCall = true;
    this.#asked.resolve();
    // The client will not try again.
    if (this.#lastError && !this.#open) this.#end(this.#lastError);
    await this.#connected.promise;
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.#connected.resolve();
    await this.#session?.close();
  }

  async #request(request: JsonRpcRequest, meta: MessageMeta | undefined): Promise<void> {
    this.#asked.resolve();
    while (!this.#open) {
      const { waitMs, timeoutMs } = this.#options;
      const first = this.#subject === undefined && ['initialize', 'server/discover'].includes(request.method);
      const limitMs = first ? timeoutMs : waitMs;
      const recalled = this.#options.memory?.recall(request);
      this.#hurry?.();
      try {
        await this.#waiting.wait(request.id, recalled ? recallMs : limitMs, () => this.#away(limitMs));
      } catch (error) {
        if (!recalled || this.#closing.signal.aborted || !isAway(error)) throw error;
        this.#subject ??= this.#options.memory?.subject;
        this.#view.answered(request, recalled);
        await this.onmessage?.(recalled);
        return;
      }
    }
    // In the same turn in which it is over with waiting, so that the order is kept.
    const { pending, end } = this.#open;
    pending.set(request.id, request);
    try {
      await end.send(request, meta);
    } catch (error) {
      pending.delete(request.id);
      throw (error as { code?: unknown }).code === 'closed' ? sessionLost(undefined) : error;
    }
  }

  #away(waitedMs: number): RendezvousError {
    const why = this.#lastError?.message ?? 'No MCP server joined the room. Check that one is running.';
    const since = new Date(Date.now() - (this.#clock.now() - this.#awaySince)).toISOString();
    const what =
      this.#subject === undefined
        ? `Connecting timed out after ${waitedMs / 1000} s.`
        : `The MCP server has been away since ${since}.`;
    return new RendezvousError('peer_absent', `${what} ${why} Try again later: connect goes on looking for it.`, {
      retryable: true,
    });
  }

  async #run(): Promise<void> {
    const { pauseMs = backoffMs, renewable, say } = this.#options;
    this.#awaySince = this.#clock.now();
    let attempt = 0;
    while (!this.#closing.signal.aborted) {
      const ended = await this.#serve();
      if (this.#closing.signal.aborted) return;
      const { error, served, useful } = ended;
      if (error && (this.#lastCall || isFinal(ended, renewable))) {
        await Promise.race([this.#asked.promise, this.#pause(firstRequestMs)]);
        return this.#end(error);
      }
      if (this.#lastCall) return this.#end(new RendezvousError('session_lost', 'The MCP server has left.'));
      if (served) say('lost the server, waiting for it');
      else if (error?.message !== this.#lastError?.message) this.onerror?.(error!);
      this.#lastError = error;
      // At the start nobody waits for a server that was there before: why it fails is the answer.
      if (error && this.#subject === undefined && !isAway(error)) this.#waiting.fail(error);
      if (useful) attempt = 0;
      // The first attempt follows at once, as a server that is restarted may be there already.
      if (attempt > 0 || !served) await this.#pause(pauseMs(attempt));
      attempt += 1;
    }
  }

  /** One session, from its beginning to its end. */
  async #serve(): Promise<Ended & { useful: boolean }> {
    const end = this.#options.connect();
    this.#session = end;
    const open: Open = { end, pending: new Map(), own: new Map(), useful: false };
    const closed = Promise.withResolvers<Error | undefined>();
    watchClosing(end, { onerror: (error) => this.onerror?.(error), onclose: closed.resolve });
    end.onmessage = (message, meta) => (this.#session === end ? this.#receive(open, message, meta) : undefined);
    try {
      await end.start();
      await this.#begin(open, closed.promise);
    } catch (error) {
      this.#lose(open, error as Error);
      await end.close().catch(() => {});
      return { error: error as Error, served: false, useful: false };
    }
    const openedAt = this.#clock.now();
    const reason = await closed.promise;
    this.#awaySince = this.#clock.now();
    this.#lose(open, reason);
    return { error: reason, served: true, useful: open.useful || this.#clock.now() - openedAt >= provenMs };
  }

  /** Makes the new session what the one before was to the client, and passes on what waits. */
  async #begin(open: Open, closed: Promise<Error | undefined>): Promise<void> {
    const subject = open.end.peer?.subject ?? '';
    if (this.#subject !== undefined && this.#subject !== subject) {
      throw changed(`it is ${subject} instead of ${this.#subject}`);
    }
    const { hello } = this.#view;
    if (hello) {
      const answer = await this.#ask(open, hello, closed);
      const result = 'result' in answer ? answer.result : undefined;
      if (!result) throw new RendezvousError('session_lost', 'The MCP server refused to begin another session.');
      const lost = this.#view.lost(result);
      if (lost !== undefined) throw changed(lost);
      if (this.#view.initialized) {
        await open.end.send({ jsonrpc: '2.0', method: 'notifications/initialized' });
        for (const setting of this.#view.settings) await this.#ask(open, setting, closed);
        for (const change of this.#view.changes(result)) await this.onmessage?.(change);
      }
    }
    this.#subject = subject;
    this.#open = open;
    this.#lastError = undefined;
    this.#connected.resolve();
    this.#waiting.release();
  }

  /** A request of the bridge's own. Rejects when the session ends or the answer takes too long. */
  async #ask(
    { end, own }: Open,
    call: Pick<JsonRpcRequest, 'method' | 'params'>,
    closed: Promise<Error | undefined>,
  ): Promise<JsonRpcMessage> {
    const id = `mcp-rendezvous:${(this.#count += 1)}`;
    const answer = Promise.withResolvers<JsonRpcMessage>();
    answer.promise.catch(() => {}); // sending may have failed before
    own.set(id, answer.resolve);
    const late = () => answer.reject(new RendezvousError('session_lost', 'The MCP server does not answer initialize.'));
    const cancel = this.#clock.after(this.#options.timeoutMs, late);
    void closed.then((error) => answer.reject(error ?? new RendezvousError('session_lost', 'The MCP server left.')));
    try {
      await end.send({ jsonrpc: '2.0', id, ...call });
      return await answer.promise;
    } finally {
      cancel();
      own.delete(id);
    }
  }

  #receive(open: Open, message: JsonRpcMessage, meta?: MessageMeta): void | Promise<void> {
    const { pending, own } = open;
    if (isResponse(message) && isId(message.id)) {
      const handle = own.get(message.id);
      if (handle) return handle(message);
      const id = pendingId(message.id, pending) ?? message.id;
      const request = pending.get(id);
      pending.delete(id);
      if (request) this.#answered(request, message);
      open.useful ||= request !== undefined && 'result' in message;
    } else if (!isResponse(message)) {
      if ('id' in message) return this.onmessage?.(this.#questions.ask(message), meta);
      if (cancelledId(message) !== undefined) return this.onmessage?.(this.#questions.cancelled(message), meta);
    }
    return this.onmessage?.(message, meta);
  }

  #answered(request: JsonRpcRequest, answer: JsonRpcMessage): void {
    this.#view.answered(request, answer);
    this.#options.memory?.note(request, answer, this.#subject ?? '');
  }

  /** The session is over: everything that waits for it is told so. */
  #lose({ pending }: Open, reason: Error | undefined): void {
    this.#open = undefined;
    this.#session = undefined;
    const error = sessionLost(reason);
    for (const notification of this.#questions.drop(error.message)) void this.onmessage?.(notification);
    for (const id of pending.keys()) void this.onmessage?.(errorResponse(id, error));
  }

  #end(error: Error): void {
    this.#closing.abort();
    this.#connected.resolve();
    this.#waiting.fail(error);
    void this.#session?.close();
    this.onclose?.(error);
  }

  async #pause(ms: number): Promise<void> {
    const over = Promise.withResolvers<unknown>();
    const endsAt = this.#clock.now() + Math.min(ms, askedPauseMs);
    let cancel = this.#clock.after(ms, () => over.resolve(undefined));
    this.#hurry = () => {
      cancel();
      cancel = this.#clock.after(Math.max(0, endsAt - this.#clock.now()), () => over.resolve(undefined));
    };
    if (this.#waiting.size > 0) this.#hurry();
    const { signal } = this.#closing;
    signal.addEventListener('abort', over.resolve);
    await over.promise;
    signal.removeEventListener('abort', over.resolve);
    cancel();
    this.#hurry = undefined;
  }
}

const isAway = (error: unknown): boolean => (error as { code?: unknown }).code === 'peer_absent';

const changed = (what: string): RendezvousError =>
  new RendezvousError('bad_option', `Another MCP server is in the room: ${what}. Restart the MCP client to use it.`);

const sessionLost = (reason: Error | undefined): RendezvousError => {
  const why = reason ? ` (${reason.message})` : '';
  const text = `The session with the MCP server was lost, and the request may have been carried out.${why}`;
  return new RendezvousError('session_lost', text);
};
