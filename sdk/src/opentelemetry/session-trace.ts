import type * as Api from '@opentelemetry/api';
import type { Attributes, Context, SpanContext, SpanStatus, Tracer } from '@opentelemetry/api';
import type { DiagnosticEvent } from '../util/diagnostic.ts';
import { DeferredSpan } from './deferred-span.ts';

type EventOf<Type extends DiagnosticEvent['type']> = Extract<DiagnosticEvent, { type: Type }>;

/** What the spans of a session are made with. */
export interface Tracing {
  api: Pick<typeof Api, 'trace' | 'context' | 'ROOT_CONTEXT' | 'SpanStatusCode'>;
  tracer: Tracer;
}

/**
 * The spans of one session: itself, and below it each join, negotiation, path and recovery. They
 * are made as soon as their parent is known, which is the one that is active where the session
 * begins, or the one that the first message names.
 */
export class SessionTrace {
  readonly #tracing: Tracing;
  readonly #session: DeferredSpan;
  /** Those below the session. */
  readonly #spans: DeferredSpan[] = [];
  #below: Context | undefined;
  #joinsFrom: number | undefined;
  #negotiation: DeferredSpan | undefined;
  #path: { span: DeferredSpan; what: string } | undefined;
  #recovery: DeferredSpan | undefined;
  #opened = false;

  /** @param parent where the session begins; undefined: its first message says it */
  constructor(tracing: Tracing, { at, peer }: DiagnosticEvent, parent: Context | undefined) {
    this.#tracing = tracing;
    this.#session = new DeferredSpan('mcp_rendezvous.session', at, peerOf(peer));
    this.#joinsFrom = at;
    if (parent) this.#make(parent);
  }

  event(event: DiagnosticEvent): void {
    const { at } = event;
    if (event.peer !== undefined) this.#session.set(peerOf(event.peer));
    switch (event.type) {
      case 'relay_open':
        this.#joinsFrom ??= at;
        return;
      case 'joined':
        this.#session.set(roomOf(event));
        this.#add('mcp_rendezvous.join', this.#joinsFrom ?? at, roomOf(event)).end(at);
        this.#joinsFrom = undefined;
        return;
      case 'relay_lost':
        this.#session.step('relay_lost', at);
        this.#joinsFrom = at;
        return;
      case 'offer_sent':
      case 'offer_received':
        this.#negotiation ??= this.#add('mcp_rendezvous.negotiation', at);
        return this.#negotiation.step(event.type, at);
      case 'answer_sent':
      case 'answer_received':
        return this.#negotiation?.step(event.type, at);
      case 'connection':
        if (event.state === 'failed') this.#negotiated(at, this.#error('No connection came about.'));
        return;
      case 'channel_open':
        return this.#negotiated(at);
      case 'session_open':
        this.#opened = true;
        this.#session.set({ 'mcp_rendezvous.mode': event.mode });
        return this.#session.step('session_open', at);
      case 'first_message':
        return this.#firstMessage(event.traceparent);
      case 'path_changed':
        return this.#pathChanged(event);
      case 'state':
        return this.#state(event);
      case 'peer':
      case 'candidate':
      case 'engine_changed':
        return;
    }
  }

  #state({ state, at }: EventOf<'state'>): void {
    if (state === 'connecting') return;
    if (state === 'recovering') this.#recovery ??= this.#add('mcp_rendezvous.recovery', at);
    else {
      const late = state === 'closed' ? this.#error('The session ended before it had a path again.') : undefined;
      this.#recovery?.end(at, late);
      this.#recovery = undefined;
    }
    if (state === 'connected') return;
    this.#path?.span.end(at);
    this.#path = undefined;
    if (state === 'closed') this.#closed(at);
  }

  #closed(at: number): void {
    // One that goes on in the background is no failure: the session has had another path.
    this.#negotiated(at, this.#opened ? undefined : this.#error('The session ended before.'));
    this.#session.end(at, this.#opened ? undefined : this.#error('The session did not open.'));
    if (!this.#below) this.#make(this.#tracing.api.ROOT_CONTEXT);
  }

  #error(message: string): SpanStatus {
    return { code: this.#tracing.api.SpanStatusCode.ERROR, message };
  }

  #negotiated(at: number, status?: SpanStatus): void {
    this.#negotiation?.end(at, status);
    this.#negotiation = undefined;
  }

  #pathChanged({ at, path, protocol, localCandidateType, remoteCandidateType }: EventOf<'path_changed'>): void {
    const attributes: Attributes = {
      'mcp_rendezvous.path': path,
      ...(protocol === undefined ? {} : { 'network.transport': protocol }),
      ...(localCandidateType === undefined ? {} : { 'mcp_rendezvous.candidate.local': localCandidateType }),
      ...(remoteCandidateType === undefined ? {} : { 'mcp_rendezvous.candidate.remote': remoteCandidateType }),
    };
    const what = JSON.stringify(attributes);
    // The same path may be told again.
    if (this.#path?.what === what) return;
    this.#path?.span.end(at);
    this.#path = { span: this.#add('mcp_rendezvous.path', at, attributes), what };
  }

  #firstMessage(traceparent: string | undefined): void {
    const { trace, ROOT_CONTEXT } = this.#tracing.api;
    const remote = traceparent === undefined ? undefined : spanContextOf(traceparent);
    if (!this.#below) return this.#make(remote ? trace.setSpanContext(ROOT_CONTEXT, remote) : ROOT_CONTEXT);
    const { span } = this.#session;
    if (remote && remote.traceId !== span?.spanContext().traceId) span?.addLink({ context: remote });
  }

  #add(name: string, at: number, attributes?: Attributes): DeferredSpan {
    const span = new DeferredSpan(name, at, attributes);
    if (this.#below) span.make(this.#tracing.tracer, this.#below);
    else this.#spans.push(span);
    return span;
  }

  #make(parent: Context): void {
    const { api, tracer } = this.#tracing;
    this.#below = api.trace.setSpan(parent, this.#session.make(tracer, parent));
    for (const span of this.#spans.splice(0)) span.make(tracer, this.#below);
  }
}

const peerOf = (peer: string | undefined): Attributes => (peer === undefined ? {} : { 'mcp_rendezvous.peer': peer });

export const roomOf = ({ room, role }: EventOf<'joined'>): Attributes => ({
  'mcp_rendezvous.room': room,
  'mcp_rendezvous.role': role,
});

/** Of an event's `traceparent`; undefined for one that W3C Trace Context §3.2 calls invalid. */
function spanContextOf(traceparent: string): SpanContext | undefined {
  const form = /^(?!ff)..-(?!0{32})(\w{32})-(?!0{16})(\w{16})-(\w{2})$/;
  const [, traceId, spanId, flags = '0'] = form.exec(traceparent) ?? [];
  if (traceId === undefined || spanId === undefined) return undefined;
  // Of the flags only `sampled` is known to every version.
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true };
}
