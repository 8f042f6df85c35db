import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { Engine } from '../peer/engine.ts';
import { noSecretHere } from '../peer/refusal.ts';
import { RelayedLine } from '../relayed/relayed-line.ts';
import { backoffMs } from '../signaling/backoff.ts';
import type { RelayChannel } from '../signaling/relay-channel.ts';
import { RelayConnection, type RelayOptions, type RemotePeer } from '../signaling/relay-connection.ts';
import {
  type Connected,
  type ConnectionSettings,
  type Connector,
  firstHello,
  negotiate,
  type NegotiationOptions,
} from './connector.ts';
import { introduction } from './introduction.ts';
import type { FirstPath, PathNegotiation } from './path-negotiation.ts';
import { keyOf } from './peer-secret.ts';
import {
  absentFromRoom,
  codeOf,
  relayedOpening,
  relaySettings,
  silentPeer,
  watchIdentity,
  watchLeaving,
  watchRemoval,
  watchSocket,
} from './relayed-peer.ts';
import { SessionReporter } from './session-reporter.ts';
import { wait } from '../util/abort.ts';
import type { ConnectOptions } from './types.ts';

/** An offer that was made, and the path that may come of it. */
interface Offered {
  channel: RelayChannel;
  paths: PathNegotiation;
  path: Promise<FirstPath>;
}

/**
 * A client's way through the relay to the room's server, whichever peer that is now. The client
 * offers.
 */
export class RelayClientConnector implements Connector {
  readonly settings: ConnectionSettings;
  readonly observer: SessionReporter;
  readonly #relay: RelayConnection;
  readonly #onerror: (error: RendezvousError) => void;
  /**
   * The application has named its own ICE servers and its token, so that an offer need not wait for
   * what the relay and the token say.
   */
  readonly #offersAtOnce: boolean;
  readonly #secret: Connected['secret'];
  readonly #line: RelayedLine;
  readonly #options: ConnectOptions;
  readonly #begins: NegotiationOptions;
  #server: RemotePeer | undefined;
  #channel: RelayChannel | undefined;
  /** The last negotiation: the next one has a larger number. */
  #paths: PathNegotiation | undefined;
  /** What `cuts` of the relay connection was when that began. */
  #cuts = 0;

  /**
   * @param onerror hears of failures that do not end the session
   * @throws RendezvousError `bad_option`
   */
  constructor(engine: Engine, options: ConnectOptions & RelayOptions, onerror: (error: RendezvousError) => void) {
    this.#relay = new RelayConnection(options, 'client');
    this.#onerror = onerror;
    this.#offersAtOnce = options.iceServers !== undefined && typeof options.token === 'string';
    this.#secret = keyOf(options.secret);
    this.settings = relaySettings(engine, options, this.#relay);
    this.#line = new RelayedLine(this.#relay);
    this.observer = new SessionReporter(this.#relay, () => this.#server);
    this.#options = options;
    this.#begins = { key: this.#secret, hello: firstHello(options, this.#secret) };
  }

  async connect(signal: AbortSignal): Promise<Connected> {
    return this.#relay.state === 'new' ? await this.#connectFirst(signal) : await this.#connect(signal);
  }

  mayReconnect(error: unknown): boolean {
    if (!(error instanceof RendezvousError && error.retryable)) return false;
    // A server that is busy has said so: another attempt would hear the same.
    return error.code !== 'busy' && this.#interrupted;
  }

  /** This peer or the server has lost the relay since the last offer. */
  get #interrupted(): boolean {
    const { state, cuts } = this.#relay;
    return state !== 'closed' && (state !== 'joined' || cuts !== this.#cuts);
  }

  async #connectFirst(signal: AbortSignal): Promise<Connected> {
    const relay = this.#relay;
    const joined = Promise.withResolvers<void>();
    // The offer is made while the socket opens, and travels inside of the `join`.
    const first = relay.firstChannel();
    this.#channel = first;
    const known = this.#offersAtOnce ? undefined : joined.promise;
    const paths = negotiate(this, first, { ...this.#begins, known });
    this.#paths = paths;
    const path = paths.first(signal);
    // Whoever awaits it hears why. One that no server has had is forgotten: the next attempt begins
    // anew.
    path.catch(() => first.peer === undefined && first.end());
    await relay.start(signal);
    joined.resolve();
    return await this.#connect(signal, { channel: first, paths, path });
  }

  async #connect(signal: AbortSignal, offered?: Offered): Promise<Connected> {
    const relay = this.#relay;
    for (let attempt = 0; ; attempt++) {
      const channel = await this.reconnect(signal);
      const server = this.#server!;
      const self = relay.id;
      const current = () => this.#server ?? server;
      try {
        const context = introduction(relay, server, true);
        const { paths, path } = offered?.channel === channel ? offered : this.#offer(channel, signal);
        const opened = await path;
        channel.patient = true;
        return {
          first: opened,
          paths,
          signaling: channel,
          ...watchIdentity(relay, current),
          removed: watchRemoval(relay, current, this.#onerror),
          left: watchLeaving(relay, current),
          watchSocket: watchSocket(relay, current),
          room: relay.room,
          secret: this.#secret,
          context,
          sessionName: self ?? server.id,
        };
      } catch (thrown) {
        offered = undefined;
        // The other side, which may have said it, does not know which of them has a secret.
        const fatal = codeOf(thrown) === 'secret_mismatch';
        const error = fatal && !this.#secret ? noSecretHere(thrown) : thrown;
        // The server went, or one of both has another id now: the same peer, or another one, may be
        // there.
        const replaced = !relay.knows(server.id) || relay.id !== self;
        // Another one is not tried with a secret that the first one refused, and which left then.
        const again = (replaced && !fatal) || this.mayReconnect(error);
        if (signal.aborted || relay.state === 'closed' || !again) throw silentPeer(error, relay);
        // The relay may be gone and a connection impossible for the same reason: there is no hurry.
        const giveUp = (): never => {
          throw silentPeer(error, relay);
        };
        if (!replaced) await wait(backoffMs(attempt), signal).catch(giveUp);
      }
    }
  }

  /** Makes an offer on a channel that may have had one before. */
  #offer(channel: RelayChannel, signal: AbortSignal): Offered {
    this.#cuts = this.#relay.cuts;
    const started = this.#paths && { gen: this.#paths.gen };
    const paths = negotiate(this, channel, { ...this.#begins, ...(started && { started }) });
    this.#paths = paths;
    // One that has served before is started already, and has nothing more to do.
    void channel.start();
    return { channel, paths, path: paths.first(signal) };
  }

  readonly open: NonNullable<Connector['open']> = (signaling, opening) =>
    relayedOpening(this.#relay, this.#line, this.#options, signaling, opening);

  /** The channel of before, unless the server has another id or the channel has ended. */
  readonly reconnect = async (signal: AbortSignal): Promise<RelayChannel> => {
    const relay = this.#relay;
    const advice =
      'No MCP server joined the room. Check that one is running with a token for the same room and issuer.';
    const server = await relay.anyPeer(signal).catch((reason: unknown) => {
      throw absentFromRoom(reason, advice, relay);
    });
    this.#server = server;
    if (!this.#channel || this.#channel.closed || this.#channel.peer !== server.id) {
      this.#channel = relay.channel(server.id);
    }
    return this.#channel;
  };

  hurry(): void {
    this.#relay.retryNow();
  }

  close(): void {
    void this.#relay.close();
  }
}
