import { createRequire } from 'node:module';
import type { Wire } from './wire.ts';

interface Peer {
  on(event: 'signal' | 'data' | 'connect' | 'error', listener: (value: never) => void): void;
  signal(signal: unknown): void;
  send(text: string): void;
  destroy(): void;
}

const require = createRequire(import.meta.url);
// It has no types.
const SimplePeer = require('simple-peer') as new (options: object) => Peer;

/**
 * simple-peer as `mcp-webrtc` uses it: one channel `mcp`, candidates inside of the SDP, a JSON text
 * for each message.
 */
export class SimplePeerWire implements Wire {
  onmessage?: ((message: never) => void) | undefined;
  onsignal: (signal: never) => void = () => undefined;
  readonly #peer: Peer;
  readonly #open = Promise.withResolvers<void>();

  constructor(wrtc: object, initiator: boolean) {
    this.#peer = new SimplePeer({ initiator, trickle: false, channelName: 'mcp', wrtc, config: { iceServers: [] } });
    this.#peer.on('signal', (signal) => this.onsignal(signal));
    this.#peer.on('connect', () => this.#open.resolve());
    // After the beginning it is its end, which the caller notices.
    this.#peer.on('error', (error) => this.#open.reject(error));
    this.#peer.on('data', (data: Uint8Array) => this.onmessage?.(JSON.parse(String(data)) as never));
    // `start()` passes a failure on; before that nothing may be listening.
    this.#open.promise.catch(() => undefined);
  }

  start(): Promise<void> {
    return this.#open.promise;
  }

  async signal(signal: unknown): Promise<void> {
    this.#peer.signal(signal);
  }

  async send(message: never): Promise<void> {
    this.#peer.send(JSON.stringify(message));
  }

  async close(): Promise<void> {
    this.#peer.destroy();
  }
}
