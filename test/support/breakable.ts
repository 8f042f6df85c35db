import { type Engine, type RtcPeerConnection } from 'mcp-rendezvous';
import { weriftEngine } from 'mcp-rendezvous/werift';

/**
 * An engine whose connections a test can end, as a crash of the network stack would: nobody is
 * told.
 */
export class BreakableEngine implements Engine {
  readonly name: string;
  readonly restartsIce: boolean;
  readonly #engine: Engine;
  readonly #connections: RtcPeerConnection[] = [];

  constructor(engine: Engine = weriftEngine, { restartsIce = engine.restartsIce } = {}) {
    this.#engine = engine;
    this.name = engine.name;
    this.restartsIce = restartsIce;
  }

  /** How many connections were made. */
  get made(): number {
    return this.#connections.length;
  }

  createPeerConnection(...args: Parameters<Engine['createPeerConnection']>): RtcPeerConnection {
    const connection = this.#engine.createPeerConnection(...args);
    this.#connections.push(connection);
    return connection;
  }

  async authenticate(connection: RtcPeerConnection): Promise<void> {
    await this.#engine.authenticate?.(connection);
  }

  async flush(...args: Parameters<NonNullable<Engine['flush']>>): Promise<void> {
    await this.#engine.flush?.(...args);
  }

  /** Ends the newest connection. */
  async break(): Promise<void> {
    await this.#connections.at(-1)?.close();
  }
}
