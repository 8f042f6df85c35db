import { RendezvousError } from 'mcp-rendezvous-protocol';
import {
  isId,
  isResponse,
  type JsonRpcError,
  type JsonRpcId,
  type JsonRpcMessage,
  type JsonRpcRequest,
  type JsonRpcResult,
} from '../link/message.ts';
import type { MessageMeta } from '../link/link.ts';
import { insteadOf, type Malformed, replyTo } from '../link/reading.ts';
import { within } from './async.ts';
import { CliError } from './cli-error.ts';
import { idProblem, pendingId } from './ids.ts';
import { UnclaimedErrors } from './unclaimed-errors.ts';

/**
 * One end of the pipe: a process, standard input and output, or a transport. The transports of the
 * SDK are ends as they are.
 */
export interface End {
  start(): Promise<void>;
  /**
   * Resolves when the message is handed over; rejects when it will not be. Keeps the order of its
   * calls.
   */
  send(message: JsonRpcMessage, meta?: MessageMeta): Promise<void>;
  /** Delivers what was sent, then ends. Idempotent. */
  close(): Promise<void>;
  onmessage?: ((message: JsonRpcMessage, meta?: MessageMeta) => void | Promise<void>) | undefined;
  /** Something came that is not a message, but somebody waits for it, or for an answer to it. */
  onmalformed?: ((malformed: Malformed) => void | Promise<void>) | undefined;
  /**
   * The other end has nothing more to say. Resolves when what it said last is under way, or will
   * not be: it does not wait for what may come later.
   */
  lastCall?(): Promise<void>;
  /** Nothing more will come from this end; it still takes messages. */
  onend?: (() => void) | undefined;
  /** The end is closed, and perhaps why. */
  onclose?: ((error?: Error) => void) | undefined;
  onerror?: ((error: Error) => void) | undefined;
}

export interface BridgeOptions {
  /** Answers a request on behalf of upstream; without an answer the request is passed on. */
  intercept?: (request: JsonRpcRequest) => JsonRpcMessage | undefined;
  onerror: (error: Error, side: Side) => void;
}

export type Side = 'downstream' | 'upstream';

/**
 * How a bridge ended: which side went first, and why. Without a side it was closed from outside.
 */
export interface Ending {
  side?: Side;
  error?: Error | undefined;
}

/**
 * After upstream failed to start, requests are still answered with the reason for this long:
 * clients try more than once.
 */
const lingerMs = 2_000;
/** After downstream has nothing more to say, pending answers are awaited for this long. */
const drainMs = 5_000;
/** What is on its way when one side dies has this long to reach the other one. */
const flushMs = 1_000;
/** Requests of a server that its client leaves unanswered, above which no more are accepted. */
const maxQuestions = 1_000;

/**
 * A pipe of messages between the side of an MCP client (downstream) and that of an MCP server
 * (upstream). It re-implements nothing: ids, progress tokens, cancellation and requests of servers
 * pass as they are, in every era of the protocol. All it keeps is which requests are unanswered, so
 * that when one side dies each of them gets an error and not silence.
 */
export class Bridge {
  readonly ended: Promise<Ending>;
  readonly #downstream: End;
  readonly #upstream: End;
  readonly #toUpstream: Direction;
  readonly #toDownstream: Direction;
  readonly #finished = Promise.withResolvers<Ending>();
  #ending: Ending | undefined;
  #draining = false;

  constructor(downstream: End, upstream: End, options: BridgeOptions) {
    this.ended = this.#finished.promise;
    this.#downstream = downstream;
    this.#upstream = upstream;
    const idle = () => this.#leaveWhenDone();
    const { intercept, onerror } = options;
    this.#toUpstream = new Direction(downstream, upstream, idle, (error) => onerror(error, 'upstream'), intercept);
    this.#toDownstream = new Direction(
      upstream,
      downstream,
      idle,
      (error) => onerror(error, 'downstream'),
      ({ id }) => (this.#toDownstream.pending < maxQuestions ? undefined : errorResponse(id, tooManyQuestions())),
    );

    const connect = (end: End, side: Side, own: Direction, other: Direction) => {
      end.onmessage = (message, meta) => {
        const passed = isResponse(message) ? other.answered(message) : message;
        return passed && own.forward(passed, meta);
      };
      end.onmalformed = (malformed) => {
        onerror(new Error(`Received an invalid message: ${malformed.why}.`), side);
        const answers = malformed.as === 'response' || other.awaits(malformed.id);
        if (malformed.as === 'request' || !answers) return own.refuse(malformed);
        const instead = insteadOf(malformed);
        return own.forward(other.answered(instead) ?? instead);
      };
    };
    connect(downstream, 'downstream', this.#toUpstream, this.#toDownstream);
    connect(upstream, 'upstream', this.#toDownstream, this.#toUpstream);
    const watch = (side: Side, end: End, direction: Direction) =>
      watchClosing(end, {
        onerror: (error) => onerror(error, side),
        // An end that did not open closes too, and why is what start() rejects with.
        onclose: (error) =>
          void direction.opened.then(
            () => this.#end({ side, error }),
            () => {},
          ),
      });
    watch('downstream', downstream, this.#toDownstream);
    watch('upstream', upstream, this.#toUpstream);
    downstream.onend = () => this.#drain();

    // Downstream opens while upstream still connects, so it may leave meanwhile. A direction waits
    // for its destination.
    this.#toUpstream.open(upstream.start());
    this.#toDownstream.open(downstream.start());
    this.#toUpstream.opened.catch((error: Error) => this.#end({ side: 'upstream', error }, lingerMs));
    this.#toDownstream.opened.catch((error: Error) => this.#end({ side: 'downstream', error }));
  }

  /**
   * Ends the session from outside; what is unanswered gets `reason` as its error first. Idempotent.
   */
  async close(reason: Error): Promise<void> {
    void this.#end({ error: reason });
    await this.ended;
  }

  async #end(ending: Ending, delayMs = 0): Promise<void> {
    if (this.#ending) return;
    this.#ending = ending;
    const reason =
      ending.error ?? new CliError('session_closed', `The MCP session has ended: ${closedBy(ending.side)}.`);
    // Before it is told: it may leave at once.
    const gone = Promise.withResolvers<void>();
    this.#downstream.onend = gone.resolve;
    this.#downstream.onclose = () => gone.resolve();
    this.#toUpstream.fail(reason);
    this.#toDownstream.fail(reason);
    if (delayMs > 0) await within(delayMs, gone.promise);
    await within(flushMs, Promise.all([this.#toUpstream.settled(), this.#toDownstream.settled()]));
    await Promise.allSettled([this.#downstream.close(), this.#upstream.close()]);
    // An end that was still opening has been told to stop; let it.
    await within(flushMs, Promise.allSettled([this.#toUpstream.opened, this.#toDownstream.opened]));
    this.#finished.resolve(ending);
  }

  /** Downstream has said all it had to say: deliver it, and wait a while for the answers. */
  #drain(): void {
    if (this.#ending || this.#draining) return;
    this.#draining = true;
    this.#toDownstream.fail(new CliError('session_closed', 'The MCP client has disconnected and will not answer.'));
    void Promise.all([this.#toUpstream.opened, this.#upstream.lastCall?.()]).then(
      () => within(drainMs, this.ended).then(() => this.#end({ side: 'downstream' })),
      () => {},
    );
    this.#leaveWhenDone();
  }

  #leaveWhenDone(): void {
    if (this.#draining && this.#toUpstream.idle && this.#toDownstream.idle) void this.#end({ side: 'downstream' });
  }
}

/** One direction of the pipe, and the requests that went that way and are unanswered. */
class Direction {
  readonly opened: Promise<void>;
  readonly #from: End;
  readonly #to: End;
  readonly #opened = Promise.withResolvers<void>();
  readonly #pending = new Set<JsonRpcId>();
  readonly #moving = new Set<Promise<void>>();
  readonly #onidle: () => void;
  readonly #onerror: (error: Error) => void;
  readonly #intercept: BridgeOptions['intercept'];
  readonly #unclaimed = new UnclaimedErrors(this.#pending, (id, error) => {
    this.#pending.delete(id);
    void this.#track(this.#reply({ ...error, id }));
  });
  #failure: Error | undefined;

  constructor(
    from: End,
    to: End,
    onidle: () => void,
    onerror: (error: Error) => void,
    intercept?: BridgeOptions['intercept'],
  ) {
    this.#from = from;
    this.#to = to;
    this.opened = this.#opened.promise;
    this.#onidle = onidle;
    this.#onerror = onerror;
    this.#intercept = intercept;
  }

  /** `to` is open as soon as this resolves; until then messages wait. */
  open(started: Promise<void>): void {
    started.then(this.#opened.resolve, this.#opened.reject);
  }

  get idle(): boolean {
    return this.#pending.size === 0 && this.#moving.size === 0;
  }

  /** The number of unanswered requests. */
  get pending(): number {
    return this.#pending.size;
  }

  /**
   * Passes a message on, in order. Never rejects: a request that cannot be passed on is answered
   * with an error.
   */
  async forward(message: JsonRpcMessage, meta?: MessageMeta): Promise<void> {
    await this.#track(this.#move(message, meta));
  }

  awaits(id: JsonRpcId | undefined): boolean {
    return pendingId(id, this.#pending) !== undefined;
  }

  /**
   * An answer has come. Returns it under the id of its request; undefined: it does not say to which
   * request it belongs, and waits here until that is certain.
   */
  answered(answer: JsonRpcResult | JsonRpcError): JsonRpcResult | JsonRpcError | undefined {
    if (!isId(answer.id)) return 'error' in answer && this.#unclaimed.add(answer) ? undefined : answer;
    const id = pendingId(answer.id, this.#pending);
    if (id === undefined) return answer;
    this.#settled(id);
    return id === answer.id ? answer : { ...answer, id };
  }

  /** Answers a malformed request, unless a good one is pending under its id. */
  async refuse(malformed: Malformed): Promise<void> {
    if (!this.awaits(malformed.id)) await this.#track(this.#reply(replyTo(malformed)));
  }

  /** This direction is closed: every pending request and every later one gets this error. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const id of this.#pending) void this.#track(this.#refuse(id, this.#failure));
  }

  async settled(): Promise<void> {
    await Promise.all(this.#moving);
  }

  #settled(id: JsonRpcId): void {
    if (this.#pending.delete(id)) this.#unclaimed.check();
  }

  async #track(moving: Promise<void>): Promise<void> {
    this.#moving.add(moving);
    await moving;
    this.#moving.delete(moving);
    if (this.idle) this.#onidle();
  }

  async #move(message: JsonRpcMessage, meta?: MessageMeta): Promise<void> {
    const request = isRequest(message) ? message : undefined;
    const problem = request && idProblem(request.id);
    if (problem) return await this.#reply(refusedId(request.id, problem));
    const answer = request && this.#intercept?.(request);
    if (answer) return await this.#reply(answer);
    if (request) this.#pending.add(request.id);
    // A cancelled request gets no response (MCP, cancellation).
    const cancelled = cancelledId(message);
    if (cancelled !== undefined) this.#settled(cancelled);
    try {
      await this.opened;
      // Responses still pass: the other side asked before it learned of the end.
      if (this.#failure && request) throw this.#failure;
      await this.#to.send(message, meta);
    } catch (error) {
      if (request) await this.#refuse(request.id, this.#failure ?? (error as Error));
      // Once the session is ending, its reason has been reported already.
      if (request || this.#failure) return;
      this.#onerror(error as Error);
      // Whoever waits for this answer is told at least that there is none; if that cannot be sent
      // either, the side that waits is closing, and its end tells.
      if (!isResponse(message) || message.id === undefined) return;
      await this.#to.send(errorResponse(message.id, error as Error)).catch(() => {});
    }
  }

  async #refuse(id: JsonRpcId, error: Error): Promise<void> {
    if (!this.#pending.delete(id)) return;
    this.#unclaimed.check();
    await this.#reply(errorResponse(id, error));
  }

  async #reply(message: JsonRpcMessage): Promise<void> {
    // The asking side is closed as well, so the error has no receiver.
    await this.#from.send(message).catch(() => {});
  }
}

/**
 * The answer to a request that could not be passed on. -32000 is what the MCP SDKs use for a closed
 * connection.
 */
export function errorResponse(id: JsonRpcId | undefined, error: Error): JsonRpcError {
  const { code = 'internal', retryable = false, detail } = error as Partial<CliError & RendezvousError>;
  const data = { code, retryable, ...(detail && { detail }) };
  return { jsonrpc: '2.0', id, error: { code: -32_000, message: error.message, data } };
}

const tooManyQuestions = () =>
  new RendezvousError('busy', `The MCP client has left ${maxQuestions} requests of the server unanswered.`, {
    retryable: true,
  });

/** Under its own id only if that is still what the other side said (JSON-RPC 2.0 §5). */
const refusedId = (id: JsonRpcId, message: string): JsonRpcError => ({
  jsonrpc: '2.0',
  ...(typeof id === 'string' ? { id } : {}),
  error: { code: -32_600, message },
});

/**
 * An end that cannot be opened, for `reason`: whoever is on the other side of the bridge is told
 * so.
 */
export function brokenEnd(reason: Error): End {
  return { start: () => Promise.reject(reason), send: () => Promise.reject(reason), close: () => Promise.resolve() };
}

const isRequest = (message: JsonRpcMessage): message is JsonRpcRequest => 'method' in message && 'id' in message;

export function cancelledId(message: JsonRpcMessage): JsonRpcId | undefined {
  if (!('method' in message) || message.method !== 'notifications/cancelled') return undefined;
  return message.params?.['requestId'] as JsonRpcId | undefined;
}

const closedBy = (side: Side | undefined) =>
  side === undefined ? 'it was closed' : `the MCP ${side === 'upstream' ? 'server' : 'client'} closed it`;

/**
 * Hears of an end's errors, and of its closing with the reason. A transport says that with
 * `onerror` right before `onclose`, which has no place for it in the MCP SDKs' contract.
 */
export function watchClosing(
  end: End,
  { onerror, onclose }: { onerror: (error: Error) => void; onclose: (reason?: Error) => void },
): void {
  let last: Error | undefined;
  end.onerror = (error) => {
    last = error;
    queueMicrotask(() => (last = undefined));
    onerror(error);
  };
  end.onclose = (error) => onclose(error ?? last);
}
