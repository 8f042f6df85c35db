import type * as Api from '@opentelemetry/api';
import type { Tracer } from '@opentelemetry/api';
import type { DiagnosticEvent, DiagnosticHandler } from '../util/diagnostic.ts';
import { DeferredSpan } from './deferred-span.ts';
import { roomOf, SessionTrace, type Tracing } from './session-trace.ts';

export interface TracingOptions {
  /**
   * Makes the spans.
   *
   * @default the tracer `mcp-rendezvous` of the global provider
   */
  tracer?: Tracer;
}

/**
 * Loads `@opentelemetry/api`, if it is installed, and resolves with a function that makes a value
 * for the option `ondiagnostic`: one for each transport, or for each listener. Its spans are
 * `mcp_rendezvous.session`, and below it `mcp_rendezvous.join`, `.negotiation`, `.path` and
 * `.recovery`. Without the package the handlers do nothing.
 *
 * A session's parent is the span that is active where its transport is started. A listener's
 * sessions, and those without such a span, are below the `traceparent` in `_meta` of their first
 * message, if it has one.
 *
 * @example
 *   const traced = await sessionTracing();
 *   await client.connect(new WebRTCClientTransport({ relay, token, ondiagnostic: traced() }));
 *
 * @throws what loading the package throws when it is installed and cannot be loaded
 */
export async function sessionTracing(options: TracingOptions = {}): Promise<() => DiagnosticHandler> {
  const api = await load();
  if (!api) return () => () => {};
  return () => {
    const traces = new Traces({ api, tracer: options.tracer ?? api.trace.getTracer('mcp-rendezvous') });
    return (event) => traces.event(event);
  };
}

async function load(): Promise<typeof Api | undefined> {
  try {
    return await import('@opentelemetry/api');
  } catch (error) {
    // Browsers have no code for a name that leads nowhere.
    if ((error as { code?: unknown }).code === 'ERR_MODULE_NOT_FOUND' || error instanceof TypeError) return undefined;
    throw error;
  }
}

/** What one handler has seen: a transport's session, or those of a listener by their peers. */
class Traces {
  readonly #tracing: Tracing;
  readonly #sessions = new Map<string | undefined, SessionTrace>();
  /** Since when a listener has been joining the room. */
  #joinsFrom: number | undefined;

  constructor(tracing: Tracing) {
    this.#tracing = tracing;
  }

  event(event: DiagnosticEvent): void {
    const key = this.#sessions.has(undefined) ? undefined : event.peer;
    if (event.type === 'state' && event.state === 'connecting') {
      this.#sessions.set(event.peer, new SessionTrace(this.#tracing, event, this.#parentOf(event)));
      return;
    }
    const session = this.#sessions.get(key);
    if (!session) return this.#ofListener(event);
    session.event(event);
    if (event.type === 'state' && event.state === 'closed') this.#sessions.delete(key);
  }

  /** A listener's sessions begin where the listener did, whatever was active there. */
  #parentOf({ peer }: DiagnosticEvent): Api.Context | undefined {
    const { context, trace } = this.#tracing.api;
    const active = context.active();
    return peer === undefined && trace.getSpan(active) ? active : undefined;
  }

  #ofListener(event: DiagnosticEvent): void {
    if (event.type === 'relay_open') this.#joinsFrom ??= event.at;
    if (event.type === 'relay_lost') this.#joinsFrom = event.at;
    if (event.type !== 'joined') return;
    const join = new DeferredSpan('mcp_rendezvous.join', this.#joinsFrom ?? event.at, roomOf(event));
    join.make(this.#tracing.tracer, this.#tracing.api.ROOT_CONTEXT);
    join.end(event.at);
    this.#joinsFrom = undefined;
  }
}
