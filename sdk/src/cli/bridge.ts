import {
  isResponse,
  type JsonRpcError,
  type JsonRpcId,
  type JsonRpcMessage,
  type JsonRpcRequest,
} from '../link/message.ts';
import type { MessageMeta } from '../link/link.ts';
import { within } from './async.ts';
import { CliError } from './cli-error.ts';
import { idProblem } from './ids.ts';

/** One end of the pipe: a process, standard input and output, or a transport. The transports of the SDK are ends as they are. */
export interface End {
  /** Opens the end. Messages are delivered from then on. */
  start(): Promise<void>;
  /** Resolves when the message is handed over; rejects when it will not be. Keeps the order of its calls. */
  send(message: JsonRpcMessage, meta?: MessageMeta): Promise<void>;
  /** Delivers what was sent, then ends. Idempotent. */
  close(): Promise<void>;
  onmessage?: ((message: JsonRpcMessage, meta?: MessageMeta) => void | Promise<void>) | undefined;
  /** Nothing more will come from this end; it still takes messages. */
  onend?: (() => void) | undefined;
  /** The end is closed, and perhaps why. */
  onclose?: ((error?: Error) => void) | undefined;
  /** Something went wrong that does not end the session. */
  onerror?: ((error: Error) => void) | undefined;
}

export interface BridgeOptions {
  /** Answers a request on behalf of upstream; without an answer the request is passed on. */
  intercept?: (request: JsonRpcRequest) => JsonRpcMessage | undefined;
  onerror: (error: Error, side: Side) => void;
}

export type Side = 'downstream' | 'upstream';

/** How a bridge ended: which side went first, and why. Without a side it was closed from outside. */
export interface Ending {
  side?: Side;
  error?: Error | undefined;
}

/** After upstream failed to start, requests are still answered with the reason for this long: clients try more than once. */
const lingerMs = 2_000;
/** After downstream has nothing more to say, pending answers are awaited for this long. */
const drainMs = 5_000;
/** What is on its way when one side dies has this long to reach the other one. */
const flushMs = 1_000;

/**
 * A pipe of messages between the side of an MCP client (downstream) and that of an MCP server (upstream). It re-implements
 * nothing: ids, progress tokens, cancellation and requests of servers pass as they are, in every era of the protocol. All it
 * keeps is which requests are unanswered, so that when one side dies each of them gets an error and not silence.
 */
export class Bridge {
  /** Resolves once both sides are closed. */
  readonly ended: Promise<Ending>;
  readonly #downstream: End;
  readonly #upstream: End;
  readonly #toUpstream: Lane;
  readonly #toDownstream: Lane;
  readonly #finished = Promise.withResolvers<Ending>();
  #ending: Ending | undefined;
  #draining = false;

  constructor(downstream: End, upstream: End, options: BridgeOptions) {
    this.ended = this.#finished.promise;
    this.#downstream = downstream;
    this.#upstream = upstream;
    const idle = () => this.#leaveWhenDone();
    const { intercept, onerror } = options;
    this.#toUpstream = new Lane(downstream, upstream, idle, (error) => onerror(error, 'upstream'), intercept);
    this.#toDownstream = new Lane(upstream, downstream, idle, (error) => onerror(error, 'downstream'));

    downstream.onmessage = (message, meta) => {
      if (isResponse(message)) this.#toDownstream.answered(message.id);
      return this.#toUpstream.forward(message, meta);
    };
    upstream.onmessage = (message, meta) => {
      if (isResponse(message)) this.#toUpstream.answered(message.id);
      return this.#toDownstream.forward(message, meta);
    };
    const watch = (side: Side, end: End, lane: Lane) =>
      watchClosing(end, {
        onerror: (error) => onerror(error, side),
        // An end that did not open closes too, and why is what start() rejects with.
        onclose: (error) =>
          void lane.opened.then(
            () => this.#end({ side, error }),
            () => {},
          ),
      });
    watch('downstream', downstream, this.#toDownstream);
    watch('upstream', upstream, this.#toUpstream);
    downstream.onend = () => this.#drain();

    // Downstream opens while upstream still connects, so that it may leave meanwhile: a lane waits for the side it leads to.
    this.#toUpstream.open(upstream.start());
    this.#toDownstream.open(downstream.start());
    this.#toUpstream.opened.catch((error: Error) => this.#end({ side: 'upstream', error }, lingerMs));
    this.#toDownstream.opened.catch((error: Error) => this.#end({ side: 'downstream', error }));
  }

  /** Ends the session from outside; what is unanswered gets `reason` as its error first. Idempotent. */
  async close(reason: Error): Promise<void> {
    void this.#end({ error: reason });
    await this.ended;
  }

  async #end(ending: Ending, delayMs = 0): Promise<void> {
    if (this.#ending) return;
    this.#ending = ending;
    const reason = ending.error ?? new CliError('session_closed', `The MCP session is over: ${closedBy(ending.side)}.`);
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
    this.#toDownstream.fail(new CliError('session_closed', 'The MCP client has gone and answers no more.'));
    void this.#toUpstream.opened.then(
      () => within(drainMs, this.ended).then(() => this.#end({ side: 'downstream' })),
      () => {}, // the session is ending already, for that reason
    );
    this.#leaveWhenDone();
  }

  #leaveWhenDone(): void {
    if (this.#draining && this.#toUpstream.idle && this.#toDownstream.idle) void this.#end({ side: 'downstream' });
  }
}

/** One direction of the pipe, and the requests that went that way and are unanswered. */
class Lane {
  readonly opened: Promise<void>;
  readonly #from: End;
  readonly #to: End;
  readonly #opened = Promise.withResolvers<void>();
  readonly #pending = new Set<JsonRpcId>();
  readonly #moving = new Set<Promise<void>>();
  readonly #onidle: () => void;
  readonly #onerror: (error: Error) => void;
  readonly #intercept: BridgeOptions['intercept'];
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

  /** Nothing is under way and nothing unanswered. */
  get idle(): boolean {
    return this.#pending.size === 0 && this.#moving.size === 0;
  }

  /** Passes a message on, in order. Never rejects: a request that cannot be passed on is answered with an error. */
  async forward(message: JsonRpcMessage, meta?: MessageMeta): Promise<void> {
    const moving = this.#move(message, meta);
    this.#moving.add(moving);
    await moving;
    this.#moving.delete(moving);
    if (this.idle) this.#onidle();
  }

  /** The other side answered, or nobody waits any more. */
  answered(id: JsonRpcId | undefined): void {
    if (id !== undefined) this.#pending.delete(id);
  }

  /** The way is closed: every unanswered request gets this error, and every further one. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const id of this.#pending) this.#track(this.#refuse(id, this.#failure));
  }

  /** Resolves when what is under way now has arrived or failed. */
  async settled(): Promise<void> {
    await Promise.all(this.#moving);
  }

  #track(moving: Promise<void>): void {
    this.#moving.add(moving);
    void moving.finally(() => this.#moving.delete(moving));
  }

  async #move(message: JsonRpcMessage, meta?: MessageMeta): Promise<void> {
    const request = isRequest(message) ? message : undefined;
    const problem = request && idProblem(request.id);
    if (problem) return await this.#reply(refusedId(request.id, problem));
    const answer = request && this.#intercept?.(request);
    if (answer) return await this.#reply(answer);
    if (request) this.#pending.add(request.id);
    // A cancelled request is not answered (MCP, cancellation), so that nobody waits for it.
    const cancelled = cancelledId(message);
    if (cancelled !== undefined) this.#pending.delete(cancelled);
    try {
      await this.opened;
      // Responses pass even then: what the other side asked before it was told is its own.
      if (this.#failure && request) throw this.#failure;
      await this.#to.send(message, meta);
    } catch (error) {
      if (request) await this.#refuse(request.id, this.#failure ?? (error as Error));
      // When the session is ending, that is the news.
      else if (!this.#failure) this.#onerror(error as Error);
    }
  }

  async #refuse(id: JsonRpcId, error: Error): Promise<void> {
    if (this.#pending.delete(id)) await this.#reply(errorResponse(id, error));
  }

  async #reply(message: JsonRpcMessage): Promise<void> {
    // The side that asked is gone too: there is nobody left to tell.
    await this.#from.send(message).catch(() => {});
  }
}

/** The answer to a request that could not be passed on. -32000 is what the MCP SDKs use for a closed connection. */
export function errorResponse(id: JsonRpcId | undefined, error: Error): JsonRpcError {
  const { code = 'internal', retryable = false } = error as Partial<CliError>;
  return { jsonrpc: '2.0', id, error: { code: -32_000, message: error.message, data: { code, retryable } } };
}

/** Under its own id only if that is still what the other side said (JSON-RPC 2.0 §5). */
const refusedId = (id: JsonRpcId, message: string): JsonRpcError => ({
  jsonrpc: '2.0',
  ...(typeof id === 'string' ? { id } : {}),
  error: { code: -32_600, message },
});

/** An end that cannot be opened, for `reason`: whoever is on the other side of the bridge is told so. */
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
 * Hears of an end's errors, and of its closing with the reason. A transport says that with `onerror` right before `onclose`, which has
 * no place for it in the MCP SDKs' contract.
 */
export function watchClosing(
  end: End,
  { onerror, onclose }: { onerror: (error: Error) => void; onclose: (reason?: Error) => void },
): void {
  let last: Error | undefined;
  end.onerror = (error) => {
    last = error;
    queueMicrotask(() => (last = undefined)); // what follows later has another reason
    onerror(error);
  };
  end.onclose = (error) => onclose(error ?? last);
}
