import type { IceServer } from 'mcp-rendezvous-protocol';
import type { Diagnose } from '../util/diagnostic.ts';
import type { Engine } from './engine.ts';
import type { Framing } from './framing.ts';
import { chooseServers } from './servers.ts';

interface Options {
  engine: Engine;
  iceServers: () => IceServer[];
  iceTransportPolicy: () => 'all' | 'relay';
  trickle: boolean;
  diagnose?: Diagnose | undefined;
}

/**
 * Which engine makes the connections of one negotiation: the given one, and where the connection
 * has to go through TURN and that engine does not use it, the one that stands in for it.
 */
export class EngineChoice {
  readonly #options: Options;
  #engine: Engine;

  constructor(options: Options) {
    this.#options = options;
    this.#engine = options.engine;
  }

  get engine(): Engine {
    return this.#engine;
  }

  /** For the next connection. @param turnNow no direct path was found */
  async choose(turnNow: boolean): Promise<Engine> {
    const { engine, trickle, diagnose } = this.#options;
    const iceTransportPolicy = this.#options.iceTransportPolicy();
    // Whoever does not know trickle perhaps does not know another offer, either.
    const needed = iceTransportPolicy === 'relay' || ((turnNow || !trickle) && this.#hasTurn);
    const before = this.#engine;
    this.#engine = (needed && (await engine.forTurn?.())) || engine;
    if (this.#engine !== before) diagnose?.({ type: 'engine_changed', from: before.name, to: this.#engine.name });
    await this.#engine.prepare?.({ iceServers: this.#options.iceServers(), iceTransportPolicy });
    return this.#engine;
  }

  get turn(): Framing['turn'] {
    return this.#engine.forTurn && this.#hasTurn ? 'later' : undefined;
  }

  get #hasTurn(): boolean {
    // That there is none where one is needed is the connection's to say.
    return chooseServers({ iceServers: this.#options.iceServers(), iceTransportPolicy: 'all' }).turn.length > 0;
  }
}
