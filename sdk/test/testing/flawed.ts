import type { ContractTransport, TransportPair } from 'mcp-rendezvous/testing';
import type { JsonRpcMessage } from '../../src/link/message.ts';

/**
 * What a transport may get wrong, and the cases of the contract that see it: one of them at least,
 * and no other.
 */
export const flaws = {
  'starts twice': /^start\(\) works once|^close\(\) before start/,
  'sends before start': /^nothing can be sent before start/,
  'delivers before start': /^nothing is delivered before start/,
  'start fails in silence': /^a start\(\) that fails/,
  'start fails with two words': /^a start\(\) that fails/,
  'close before start is silent': /^close\(\) before start/,
  'close waits for start': /^close\(\) while start/,
  'onclose twice': /told once|onclose|a handler may close/,
  'the other end hears nothing': /^close\(\) of|and then the end|onclose|after the end|a handler may close/,
  'close drops what was sent': /and then the end/,
  'close leaves sends hanging': /^close\(\) leaves|and then the end|onclose|a handler may close/,
  'a throwing onclose ends the close': /^an onclose that throws/,
  'delivers after onclose': /^nothing is delivered after onclose/,
  'sends after the end': /^nothing can be sent after the end|^close\(\) while start|^a start\(\) that fails/,
  'throws instead of rejecting': /^nothing can be sent|^close\(\) while start|^a start\(\) that fails/,
  'lets a TypeError out': /^what JSON cannot say/,
  'drops what comes while it starts': /^what is sent in the moment/,
  'sends nothing from within a handler': /^a handler may send/,
  'drops without a handler': /^onmessage may be taken away/,
  'ends with a throwing handler': /^an onmessage that throws/,
  'onclose before the rest': /and then the end/,
  'large messages come late': /^a message of|keep their order|and then the end/,
  'no large messages': /^a message of/,
  latin1: /^messages of every form|^a message of/,
  'one line is one message': /^messages of every form/,
  'one world for all': /two pairs/,
  'related to nothing': /^the options of/,
  'junk is the end': /^junk/,
  'junk is silence': /^junk/,
  'needs onerror': /^junk/,
  'needs onclose': /^no handler has to be there|^two pairs/,
  'named too early': /^a client has no sessionId/,
} as const;
export type Flaw = keyof typeof flaws;

const largest = 100_000;
const world = new Set<FlawedTransport>();

/** A transport within one process that keeps the contract, but for one flaw. */
export class FlawedTransport implements ContractTransport {
  onmessage?: ContractTransport['onmessage'];
  onclose?: (() => void) | undefined;
  onerror?: ((error: Error) => void) | undefined;
  sessionId?: string | undefined;
  readonly #flaw: Flaw | undefined;
  #other: FlawedTransport | undefined;
  #state: 'new' | 'starting' | 'open' | 'closed' = 'new';
  readonly #started = Promise.withResolvers<void>();
  readonly #inbox: { text: string; relatedRequestId: unknown }[] = [];
  #pumping = false;
  #goodbye = false;
  #delivering = false;
  #deaf = false;
  /** Was started before the other one. */
  #first = false;

  constructor(flaw?: Flaw) {
    this.#flaw = flaw;
    if (flaw === 'named too early') this.sessionId = 'a session';
    if (flaw === 'one world for all') world.add(this);
  }

  static pair(flaw?: Flaw): TransportPair {
    const [client, server] = [new FlawedTransport(flaw), new FlawedTransport(flaw)];
    client.#other = server;
    server.#other = client;
    return { client, server, release: () => [client, server].forEach((end) => world.delete(end)) };
  }

  async start(): Promise<void> {
    if (this.#state !== 'new' && this.#flaw !== 'starts twice') throw new Error('A transport starts once.');
    if (this.#state !== 'new') return;
    this.#state = 'starting';
    if (!this.#other) {
      if (this.#flaw !== 'start fails in silence') this.#end();
      if (this.#flaw === 'start fails with two words') this.onclose?.();
      throw new Error('Nobody is there.');
    }
    if (this.#flaw === 'delivers before start') this.#open();
    if (this.#other.#state === 'starting' || this.#other.#state === 'open') {
      this.#open();
      this.#other.#open();
    } else this.#first = true;
    await this.#started.promise;
    if (this.#flaw !== 'drops what comes while it starts' || !this.#first) return;
    await new Promise(setImmediate);
    this.#first = false;
  }

  #open(): void {
    if (this.#state === 'open') return;
    this.#state = 'open';
    this.#started.resolve();
    this.#pump();
  }

  setProtocolVersion(): void {
    this.sessionId ??= 'a session';
  }

  send(message: JsonRpcMessage, { relatedRequestId }: { relatedRequestId?: unknown } = {}): Promise<void> {
    if (this.#flaw === 'throws instead of rejecting' && this.#state !== 'open') throw new Error('Not open.');
    return this.#send(message, relatedRequestId);
  }

  async #send(message: JsonRpcMessage, relatedRequestId: unknown): Promise<void> {
    const lenient =
      (this.#flaw === 'sends before start' && this.#state === 'new') ||
      (this.#flaw === 'sends after the end' && this.#state === 'closed');
    if (lenient) return;
    if (this.#state !== 'open') throw new Error('Not open.');
    let text: string;
    try {
      text = JSON.stringify(message);
    } catch (cause) {
      throw this.#flaw === 'lets a TypeError out' ? cause : new Error('Not JSON.', { cause });
    }
    if (this.#flaw === 'no large messages' && text.length > largest) throw new Error('Too large.');
    if (this.#flaw === 'latin1') text = Buffer.from(text, 'latin1').toString('latin1');
    if (this.#flaw === 'large messages come late' && text.length > 10_000) await new Promise(setImmediate);
    if (this.#flaw === 'sends nothing from within a handler' && this.#delivering) return;
    this.#other?.take(text, this.#flaw === 'related to nothing' ? undefined : relatedRequestId);
    if (this.#flaw === 'one world for all') {
      for (const end of world) if (end !== this && end !== this.#other) end.take(text, relatedRequestId);
    }
    if (this.#flaw === 'close leaves sends hanging') {
      await new Promise(setImmediate);
      if (this.#state !== 'open') await new Promise(() => {});
    }
  }

  /** What comes over the wire. */
  take(text: string, relatedRequestId?: unknown): void {
    if (this.#flaw === 'drops what comes while it starts' && this.#first) return;
    if (this.#state === 'closed' && this.#flaw !== 'delivers after onclose') return;
    if (this.#flaw === 'one line is one message' && /\\n/.test(text)) text = text.split('\\n')[0]!;
    this.#inbox.push({ text, relatedRequestId });
    this.#pump();
  }

  /** One message a turn, when somebody listens. */
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    setImmediate(() => {
      this.#pumping = false;
      this.#deliver();
      if (this.#inbox.length > 0 && (this.#state === 'open' || this.#flaw === 'delivers after onclose')) this.#pump();
      else if (this.#goodbye && this.#inbox.length === 0) this.#end();
    });
  }

  #deliver(): void {
    const early = this.#state === 'new' && this.#flaw === 'delivers before start';
    const late = this.#state === 'closed' && this.#flaw === 'delivers after onclose';
    if (this.#state !== 'open' && !early && !late) return;
    if (!this.onmessage) {
      if (this.#flaw === 'drops without a handler') this.#inbox.shift();
      return;
    }
    const next = this.#inbox.shift();
    if (!next) return;
    const message = this.#parse(next.text);
    if (!message) return;
    const { relatedRequestId } = next;
    this.#delivering = true;
    try {
      this.onmessage(message, relatedRequestId === undefined ? {} : { relatedRequestId });
    } catch (error) {
      if (this.#flaw === 'ends with a throwing handler') void this.close();
      queueMicrotask(() => {
        throw error;
      });
    } finally {
      this.#delivering = false;
    }
  }

  #parse(text: string): JsonRpcMessage | undefined {
    try {
      return JSON.parse(text) as JsonRpcMessage;
    } catch {
      if (this.#flaw === 'junk is the end') void this.close();
      if (this.#flaw === 'junk is silence') return undefined;
      if (this.#flaw === 'needs onerror' && !this.onerror) void this.close();
      this.onerror?.(new Error('Junk.'));
      return undefined;
    }
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return;
    if (this.#state === 'new' && this.#flaw === 'close before start is silent') {
      this.#state = 'closed';
      return;
    }
    if (this.#state === 'starting' && this.#flaw === 'close waits for start') await this.#started.promise;
    const other = this.#other;
    const wasOpen = this.#state === 'open';
    try {
      this.#end();
    } catch (error) {
      if (this.#flaw === 'a throwing onclose ends the close') other?.forget();
      throw error;
    } finally {
      if (wasOpen && this.#flaw !== 'the other end hears nothing') other?.hearGoodbye(this.#flaw);
    }
  }

  forget(): void {
    this.#deaf = true;
  }

  hearGoodbye(flaw: Flaw | undefined): void {
    if (this.#state !== 'open' || this.#deaf) return;
    if (flaw === 'close drops what was sent') this.#inbox.length = 0;
    if (this.#inbox.length === 0 || flaw === 'onclose before the rest') return this.#end();
    this.#goodbye = true;
  }

  #end(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    if (this.#flaw === 'delivers after onclose' || this.#flaw === 'onclose before the rest') this.#pump();
    else this.#inbox.length = 0;
    if (this.#flaw !== 'close waits for start') this.#started.reject(new Error('Closed.'));
    this.#started.promise.catch(() => {}); // nobody may have called start()
    if (this.#flaw === 'onclose twice') this.onclose?.();
    if (this.#flaw === 'needs onclose') this.onclose!();
    else this.onclose?.();
  }
}
