import type { RTCDtlsTransport } from 'werift';
import { type CandidatePair, iceInternals, type IceInternals, type IceProtocol } from './internals.ts';

/** RFC 7675 §5.1: how long a path may be used without a new consent. */
const consentMs = 30_000;
/** Looking for a path is given up then; a check that is never answered takes werift 8 s, and candidates may come late. */
const searchMs = 30_000;
/** The other side may still send over the old path while it has not seen that the new one works (RFC 8445 §8.3). */
const lingerMs = 3_000;

/** The sockets of one restart, or of the first connection. */
type Generation = readonly IceProtocol[];

interface OldPath {
  readonly pair: CandidatePair;
  /** Each side chooses its own pair, so the other side may send to any of these sockets. */
  readonly sockets: Generation;
  /** When the consent to send over it ends, in the time of performance.now(). */
  readonly until: number;
}

/**
 * The network path of one transport, and its replacement by an ICE restart (RFC 8445 §9). What werift does at a restart is not
 * enough: it never starts the checks again once DTLS is connected, it asks neither STUN nor TURN again for sockets that it
 * has, it sends nothing until the new path works, it takes what belongs to the old path for the new one, and a
 * lookup for a path that nobody answers never ends.
 */
export class NetworkPath {
  readonly #transport: RTCDtlsTransport;
  readonly #ice: IceInternals;
  readonly #changed: () => void;
  #searching: NodeJS.Timeout | undefined;
  #lingering: NodeJS.Timeout | undefined;
  #restarting = false;
  #started = false;
  #old: OldPath | undefined;
  /** Earlier sockets, the oldest first, which bring what the other side still sends to them. */
  #retired: Generation[] = [];

  /**
   * @param prepare runs at each restart, before anything is gathered for it.
   * @param changed runs when {@link searching} has changed, and the path is known to work.
   */
  constructor(transport: RTCDtlsTransport, prepare: () => void, changed: () => void) {
    this.#transport = transport;
    this.#ice = iceInternals(transport);
    this.#changed = changed;
    const { iceTransport } = transport;
    const restart = iceTransport.restart.bind(iceTransport);
    iceTransport.restart = () => {
      this.#leave();
      restart();
      prepare();
      changed();
    };
    this.#keepSending();
    this.#tellApart();
    iceTransport.onStateChange.subscribe((state) => {
      if (state === 'connected') this.#found();
    });
  }

  /** Between the beginning of a restart and the moment when its path works. */
  get restarting(): boolean {
    return this.#restarting;
  }

  /** Both sides have described themselves: the checks can begin. */
  search(): void {
    if (this.#started || this.#ice.state === 'closed') return;
    this.#started = true;
    this.#searching = setTimeout(() => this.#giveUp(), searchMs);
    if (!this.#restarting) return; // the first time werift starts by itself
    // Its end is told by the state; what a search says that was given up for a newer one does not matter.
    this.#transport.iceTransport.start().catch(() => {});
  }

  async close(): Promise<void> {
    clearTimeout(this.#searching);
    clearTimeout(this.#lingering);
    await this.#closeRetired();
  }

  /** Goes over to new sockets: a rebound NAT or another network has made the old ones useless, or their candidates. */
  #leave(): void {
    const { nominated, state, protocols } = this.#ice;
    clearTimeout(this.#searching);
    clearTimeout(this.#lingering);
    this.#started = false;
    this.#restarting = true;
    const sockets = protocols.splice(0);
    if (nominated) {
      this.#old = state === 'failed' ? undefined : { pair: nominated, sockets, until: performance.now() + consentMs };
    }
    void this.#closeRetired(this.#old?.sockets);
    this.#retired.push(sockets);
  }

  #found(): void {
    clearTimeout(this.#searching);
    if (!this.#restarting) return;
    this.#restarting = false;
    this.#old = undefined;
    this.#lingering = setTimeout(() => void this.#closeRetired(), lingerMs);
    this.#changed();
  }

  #giveUp(): void {
    this.#restarting = false;
    if (!this.#ice.nominated && this.#ice.state !== 'closed') this.#ice.setState('failed');
    this.#changed();
  }

  async #closeRetired(except?: Generation): Promise<void> {
    const closing = this.#retired.filter((generation) => generation !== except);
    this.#retired = this.#retired.filter((generation) => generation === except);
    await Promise.allSettled(closing.flat().map((socket) => socket.close()));
  }

  #keepSending(): void {
    const ice = this.#ice;
    const send = ice.send.bind(ice);
    ice.send = async (data) => {
      const old = this.#old;
      if (ice.nominated || !old || performance.now() > old.until) return send(data);
      await old.pair.protocol.sendData(data, old.pair.remoteAddr);
    };
  }

  /** Checks of an earlier restart, which end or arrive when there is a newer one. */
  #tellApart(): void {
    const ice = this.#ice;
    const checkComplete = ice.checkComplete.bind(ice);
    ice.checkComplete = (pair) => {
      if (ice.checkList.includes(pair)) checkComplete(pair);
    };
    const checkIncoming = ice.checkIncoming.bind(ice);
    ice.checkIncoming = (message, address, protocol) => {
      const [ours] = String(message.getAttributeValue('USERNAME')).split(':');
      if (ours === ice.localUsername) checkIncoming(message, address, protocol);
    };
  }
}
