import {
  Candidate,
  candidateFoundation,
  candidatePriority,
  type RTCDtlsTransport,
  type StunOverTurnProtocol,
} from 'werift';
import type { ServerFailure } from '../handlers.ts';
import type { ChosenServer } from '../servers.ts';
import { iceInternals, type IceInternals, type IceProtocol, protocolInternals } from './internals.ts';
import { allocate, turnError } from './turn.ts';

/** How often is looked whether an allocation is still needed. */
const lookEveryMs = 1_000;

export interface Generation {
  /** There is an allocation, or it is not needed any more. */
  readonly done: boolean;
  /** Allocates there. Rejects when it gave nothing. */
  ask(server: ChosenServer): Promise<void>;
}

/**
 * The allocations of one transport on TURN servers. A server has room for a few of each user, so
 * that one that is not needed is given back: when another server was faster, and when both sides
 * use a direct path.
 */
export class Allocations {
  readonly #transport: RTCDtlsTransport;
  readonly #ice: IceInternals;
  #failures: ServerFailure[] = [];
  /** Which socket the other side's data came to last. */
  #lastUsed: IceProtocol | undefined;
  #unneeded = false;
  /** Ends what the last gathering still asks. */
  #asking = new AbortController();
  #looking: NodeJS.Timeout | undefined;

  constructor(transport: RTCDtlsTransport) {
    this.#transport = transport;
    this.#ice = iceInternals(transport);
    const ensureProtocol = this.#ice.ensureProtocol.bind(this.#ice);
    this.#ice.ensureProtocol = (protocol) => {
      protocol.onDataReceived.subscribe(() => (this.#lastUsed = protocol));
      ensureProtocol(protocol);
    };
  }

  /** The servers that the last gathering asked in vain; none if one of them gave an address. */
  get failures(): readonly ServerFailure[] {
    return this.#ice.localCandidates.some(({ type }) => type === 'relay') ? [] : this.#failures;
  }

  begin(): Generation {
    const failures: ServerFailure[] = [];
    this.#failures = failures;
    this.#asking.abort();
    const asking = new AbortController();
    this.#asking = asking;
    const { generation } = this.#ice;
    const isDone = (): boolean =>
      this.#ice.state === 'closed' || this.#ice.generation !== generation || this.#own().length > 0;
    return {
      get done() {
        return isDone();
      },
      ask: async (server) => {
        try {
          const allocation = await allocate(server, asking.signal);
          if (isDone()) await allocation.close();
          else this.#add(allocation);
        } catch (error) {
          failures.push({ server, errorCode: turnError(error) });
          throw error;
        }
      },
    };
  }

  close(): void {
    this.#asking.abort();
    clearInterval(this.#looking);
  }

  #own(): IceProtocol[] {
    return this.#ice.protocols.filter(({ turn }) => turn !== undefined);
  }

  #add(allocation: StunOverTurnProtocol): void {
    const ice = this.#ice;
    const [host, port] = allocation.turn.relayedAddress;
    const [relatedHost, relatedPort] = allocation.turn.mappedAddress;
    allocation.localCandidate = new Candidate(
      candidateFoundation('relay', 'udp', host),
      1,
      'udp',
      candidatePriority('relay'),
      host,
      port,
      'relay',
      relatedHost,
      relatedPort,
      undefined,
      ice.generation,
      ice.localUsername,
    );
    const protocol = protocolInternals(allocation);
    ice.ensureProtocol(protocol);
    ice.protocols.push(protocol);
    ice.pairLocalProtocol(protocol);
    ice.appendLocalCandidate(allocation.localCandidate);
    this.#asking.abort();
    this.#looking ??= setInterval(() => this.#look(), lookEveryMs).unref();
  }

  /**
   * Gives back what nobody needs. Each side chooses its own pair: ours is direct, and the other
   * side's is where its handshake and its data come from. Looked at twice, for what was on its way.
   */
  #look(): void {
    const ice = this.#ice;
    const own = this.#own();
    const { nominated } = ice;
    const isDirect = (protocol: IceProtocol | undefined): boolean =>
      protocol !== undefined && ice.protocols.includes(protocol) && !own.includes(protocol);
    const before = this.#unneeded;
    this.#unneeded = this.#transport.state === 'connected' && isDirect(nominated?.protocol) && isDirect(this.#lastUsed);
    if (own.length > 0 && !(before && this.#unneeded)) return;
    clearInterval(this.#looking);
    this.#looking = undefined;
    this.#unneeded = false;
    for (const allocation of own) {
      ice.protocols.splice(ice.protocols.indexOf(allocation), 1);
      allocation.close().catch(() => {}); // it ends by itself
    }
  }
}
