import assert from 'node:assert/strict';
import type { JsonRpcId, JsonRpcMessage } from '../link/message.ts';
import { type ContractCase, contractCase, type Scope, within } from './case.ts';

/**
 * Declared as a method, whose parameters TypeScript compares both ways, so that the handlers of
 * every MCP SDK fit.
 */
type MessageHandler = { handle(message: JsonRpcMessage, extra?: unknown): void }['handle'];

/**
 * What the contract uses of a transport: the `Transport` interface of both MCP SDKs (v1 and v2)
 * fits it.
 */
export interface ContractTransport {
  start(): Promise<void>;
  send(message: JsonRpcMessage, options?: { relatedRequestId?: JsonRpcId | undefined }): Promise<void>;
  close(): Promise<void>;
  onmessage?: MessageHandler | undefined;
  onclose?: (() => void) | undefined;
  onerror?: ((error: Error) => void) | undefined;
  sessionId?: string | undefined;
  setProtocolVersion?: ((version: string) => void) | undefined;
}

/** Two transports that find each other once both are started. */
export interface TransportPair {
  client: ContractTransport;
  server: ContractTransport;
  /** Releases what the two stand on. Called when both are closed. */
  release?: () => unknown;
}

export interface TransportContractOptions {
  /** How long anything may take before it counts as missing, in milliseconds. Default 20,000. */
  patienceMs?: number;
  /** The size of a message that must pass, in bytes of UTF-8. Default 1,000,000. */
  largeBytes?: number;
  /**
   * `relatedRequestId` travels to the other end, and is in `extra` there. Default false: it is
   * accepted and may be ignored.
   */
  carriesRelatedRequestId?: boolean;
  /**
   * Puts something on the client's wire that is no JSON-RPC message. Without it what the server
   * makes of that is not looked at.
   */
  sendJunk?: (pair: TransportPair) => unknown;
  /**
   * A transport whose `start()` fails, such as one with nobody at the other end. Without it that is
   * not looked at.
   */
  unreachable?: () => ContractTransport | Promise<ContractTransport>;
}

/** One end of a pair, with all that it was told. */
export class End {
  readonly transport: ContractTransport;
  readonly messages: JsonRpcMessage[] = [];
  readonly extras: unknown[] = [];
  readonly errors: Error[] = [];
  /** In the order in which they were called. */
  readonly events: ('message' | 'close')[] = [];
  /** Called after a message was written down. */
  reaction: ((message: JsonRpcMessage) => void) | undefined;
  readonly #patienceMs: number;
  #changed = Promise.withResolvers<void>();

  constructor(transport: ContractTransport, patienceMs: number) {
    this.transport = transport;
    this.#patienceMs = patienceMs;
    this.listen();
    transport.onclose = () => {
      this.events.push('close');
      this.#change();
    };
    transport.onerror = (error) => {
      this.errors.push(error);
      this.#change();
    };
  }

  /** Sets the handler of messages, as new. */
  listen(): void {
    this.transport.onmessage = (message, extra) => {
      this.messages.push(message);
      this.extras.push(extra);
      this.events.push('message');
      this.#change();
      this.reaction?.(message);
    };
  }

  get closes(): number {
    return this.events.filter((event) => event === 'close').length;
  }

  /** Until it holds; checks it at each event of this end. */
  async until(condition: () => boolean, what: string): Promise<void> {
    const wait = async (): Promise<void> => {
      while (!condition()) await this.#changed.promise;
    };
    await within(wait(), what, this.#patienceMs);
  }

  async received(count: number): Promise<JsonRpcMessage[]> {
    await this.until(() => this.messages.length >= count, `${count} messages, of which ${this.messages.length} came`);
    return this.messages;
  }

  async closed(): Promise<void> {
    await this.until(() => this.closes > 0, 'onclose');
  }

  #change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

/** What a case of the transport contract is given. */
export interface Ends {
  pair: TransportPair;
  client: End;
  server: End;
  /** Starts both and waits until both stand. */
  start: () => Promise<void>;
  /** The promise's value, in time. */
  soon: <T>(promise: Promise<T>, what: string) => Promise<T>;
}

export type MakePair = () => TransportPair | Promise<TransportPair>;

/** A case with a new pair of its own, which is closed behind it. */
export const pairCase = (
  name: string,
  makePair: MakePair,
  { patienceMs = 20_000 }: TransportContractOptions,
  body: (ends: Ends, scope: Scope) => Promise<void>,
): ContractCase =>
  contractCase(name, async (scope) => {
    const soon = <T>(promise: Promise<T>, what: string) => within(promise, what, patienceMs);
    const pair = await makePair();
    const { client, server } = pair;
    scope.after(async () => {
      // What close() does wrong is for the cases that look at it.
      await Promise.allSettled([client, server].map((transport) => soon(transport.close(), 'close()')));
      await pair.release?.();
    });
    const ends = { client: new End(client, patienceMs), server: new End(server, patienceMs) };
    const start = async () => {
      await soon(Promise.all([client.start(), server.start()]), 'start() of both ends');
    };
    await body({ pair, ...ends, start, soon }, scope);
  });

/** What a promise rejects with, which has to be a rejection of the right kind. */
export async function refusal(call: () => Promise<unknown>, what: string): Promise<Error> {
  let promise: Promise<unknown>;
  try {
    promise = call();
  } catch (error) {
    assert.fail(`${what} threw ${String(error)} where it should have rejected`);
  }
  const outcome = await promise.then(
    () => undefined,
    (thrown: unknown) => ({ thrown }),
  );
  assert.ok(outcome, `${what} did not reject`);
  const { thrown } = outcome;
  assert.ok(thrown instanceof Error, `${what} rejected with ${String(thrown)}, which is no Error`);
  // In a page the version probe of the MCP SDK v2 takes a TypeError for a server of an older era.
  assert.ok(!(thrown instanceof TypeError), `${what} rejected with a TypeError: ${thrown.message}`);
  return thrown;
}

/** A request whose `n` tells it apart. */
export const numbered = (n: number, text = ''): JsonRpcMessage => ({
  jsonrpc: '2.0',
  id: n,
  method: 'test/numbered',
  params: { n, text },
});

export const numbersOf = (messages: JsonRpcMessage[]): unknown[] =>
  messages.map((message) => ('params' in message ? message.params?.['n'] : undefined));

export const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
