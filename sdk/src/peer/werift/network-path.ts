import type { RTCDtlsTransport } from 'werift';
import {
  type CandidatePair,
  iceInternals,
  type IceInternals,
  type IceProtocol,
  pairSucceeded,
  type StunMessage,
} from './internals.ts';

/** RFC 7675 §5.1: how long a path may be used without a new consent. */
const consentMs = 30_000;
/**
 * Time limit for finding a path, in milliseconds. An unanswered check takes werift 8 s, and
 * candidates may arrive late.
 */
const searchMs = 30_000;
/**
 * The other side may still send over the old path until it has seen that the new one works (RFC
 * 8445 §8.3).
 */
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
 * The network path of one transport, and its replacement by an ICE restart (RFC 8445 §9). What
 * werift does at a restart is not enough: it never starts the checks again once DTLS is connected,
 * it asks neither STUN nor TURN again for sockets that it has, it sends nothing until the new path
 * works, it takes what belongs to the old path for the new one, and a lookup for a path that nobody
 * answers never ends.
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
  /** When a path of this restart was first seen to work, in the time of performance.now(). */
  #worksSince: number | undefined;
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
    // The state reports its end; the result of a replaced search does not matter.
    this.#transport.iceTransport.start().catch(() => {});
  }

  async close(): Promise<void> {
    clearTimeout(this.#searching);
    clearTimeout(this.#lingering);
    await this.#closeRetired();
  }

  /** Switches to new sockets: a rebound NAT or another network has made the old ones useless. */
  #leave(): void {
    const { nominated, state, protocols } = this.#ice;
    clearTimeout(this.#searching);
    clearTimeout(this.#lingering);
    this.#started = false;
    this.#restarting = true;
    this.#worksSince = undefined;
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
    // In this order: until it has failed, the connection would be taken for connected.
    if (!this.#ice.nominated && this.#ice.state !== 'closed') this.#ice.setState('failed');
    this.#restarting = false;
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
      if (!ice.checkList.includes(pair)) return;
      if (pair.state === pairSucceeded) this.#worksSince ??= performance.now();
      checkComplete(pair);
    };
    const checkIncoming = ice.checkIncoming.bind(ice);
    const namesOf = (message: StunMessage) => String(message.getAttributeValue('USERNAME')).split(':');
    ice.checkIncoming = (message, address, protocol) => {
      if (namesOf(message)[0] === ice.localUsername) checkIncoming(message, address, protocol);
    };
    ice.options.filterStunResponse = (message) => {
      const [ours, theirs] = namesOf(message);
      // libwebrtc stays with what is answered: with its new sockets and our old ones, which it
      // pairs while it does not know our description, and with the old path, for as long as it
      // lives.
      return ours === ice.localUsername || (theirs !== ice.remoteUsername && !this.#isReplaced());
    };
  }

  /** A path of this restart has worked for so long that the other side could have chosen it. */
  #isReplaced(): boolean {
    return this.#worksSince !== undefined && performance.now() - this.#worksSince > lingerMs;
  }
}
