import type { Attributes, Context, Span, SpanStatus, Tracer } from '@opentelemetry/api';

/** Milliseconds of `performance.now()` as those since the epoch. */
const timeOf = (at: number): number => performance.timeOrigin + at;

/**
 * A span that is perhaps not made yet: what its parent is can be known long after it began. What is
 * said of it meanwhile is kept.
 */
export class DeferredSpan {
  readonly #name: string;
  readonly #startedAt: number;
  readonly #attributes: Attributes;
  #steps: { name: string; at: number }[] = [];
  #end: { at: number; status: SpanStatus | undefined } | undefined;
  #span: Span | undefined;

  /** @param at when it began, as all times here in milliseconds of `performance.now()` */
  constructor(name: string, at: number, attributes: Attributes = {}) {
    this.#name = name;
    this.#startedAt = at;
    this.#attributes = attributes;
  }

  get span(): Span | undefined {
    return this.#span;
  }

  set(attributes: Attributes): void {
    Object.assign(this.#attributes, attributes);
    this.#span?.setAttributes(attributes);
  }

  /** Something happened in it. */
  step(name: string, at: number): void {
    if (this.#span) this.#span.addEvent(name, timeOf(at));
    else this.#steps.push({ name, at });
  }

  /** Ends it, unless it has ended. */
  end(at: number, status?: SpanStatus): void {
    if (this.#end) return;
    this.#end = { at, status };
    if (this.#span) this.#finish(this.#span);
  }

  /** Makes the span, below the one of the context if that has one. */
  make(tracer: Tracer, parent: Context): Span {
    const startTime = timeOf(this.#startedAt);
    const span = tracer.startSpan(this.#name, { startTime, attributes: this.#attributes }, parent);
    this.#span = span;
    for (const { name, at } of this.#steps) span.addEvent(name, timeOf(at));
    this.#steps = [];
    if (this.#end) this.#finish(span);
    return span;
  }

  #finish(span: Span): void {
    const { at = 0, status } = this.#end ?? {};
    if (status) span.setStatus(status);
    span.end(timeOf(at));
  }
}
