import type { ContractTransport, McpSdk, TransportPair } from 'mcp-rendezvous/testing';
import type { JsonRpcMessage } from '../../src/link/message.ts';
import { loopbackPair } from '../../src/testing/loopback.ts';

export type Side = 'client' | 'server';
type SendOptions = Parameters<ContractTransport['send']>[1];
type Next = (message: JsonRpcMessage, options?: SendOptions) => void;

/** What one end does differently. `next` does what a transport without a flaw does. */
export interface Alteration {
  start?: (next: () => Promise<void>) => Promise<void>;
  send?: (message: JsonRpcMessage, options: SendOptions, next: Next) => void | Promise<void>;
  receive?: (message: JsonRpcMessage, next: (message: JsonRpcMessage, extra?: object) => void) => void;
  close?: (next: () => Promise<void>) => Promise<void>;
  /** The carrier breaks. */
  break?: (next: () => void) => void;
  /** Whether all is released once it is closed. */
  released?: () => boolean;
  /** Members that a transport has besides those of the interface. */
  members?: object;
}

/** What an alteration is made of, for one end of a new pair. */
export interface Place {
  side: Side;
  sdk: McpSdk;
  /** To be called when the flaw shows: a test may be red for another reason. */
  hit: () => void;
}

/** A transport within one process that is altered. */
export class Altered implements ContractTransport {
  onmessage?: ContractTransport['onmessage'];
  onclose?: (() => void) | undefined;
  onerror?: ((error: Error) => void) | undefined;
  sessionId?: string | undefined;
  readonly #within: ContractTransport;
  readonly #alteration: Alteration;
  #closed = false;

  constructor(within: ContractTransport, alteration: Alteration) {
    this.#within = within;
    this.#alteration = alteration;
    Object.assign(this, alteration.members);
    within.onmessage = (message) => {
      const next = (passed: JsonRpcMessage, extra?: object) => this.onmessage?.(passed, extra);
      if (alteration.receive) alteration.receive(message, next);
      else next(message);
    };
    within.onclose = () => {
      this.#closed = true;
      this.onclose?.();
    };
  }

  start(): Promise<void> {
    const next = () => this.#within.start();
    return this.#alteration.start?.(next) ?? next();
  }

  setProtocolVersion(version: string): void {
    this.sessionId = `a session of ${version}`;
  }

  async send(message: JsonRpcMessage, options?: SendOptions): Promise<void> {
    const sends: Promise<void>[] = [];
    const next: Next = (passed, given) => void sends.push(this.#within.send(passed, given));
    if (this.#alteration.send) await this.#alteration.send(message, options, next);
    else next(message, options);
    await Promise.all(sends);
  }

  close(): Promise<void> {
    const next = () => this.#within.close();
    return this.#alteration.close?.(next) ?? next();
  }

  break(): void {
    const next = () => {
      this.onerror?.(new Error('The carrier broke.'));
      void this.#within.close();
    };
    if (this.#alteration.break) this.#alteration.break(next);
    else next();
  }

  get released(): boolean {
    return this.#alteration.released?.() ?? this.#closed;
  }
}

export function alteredPair(alter: (side: Side) => Alteration): TransportPair {
  const { client, server } = loopbackPair();
  return { client: new Altered(client, alter('client')), server: new Altered(server, alter('server')) };
}
