import type { RendezvousError } from 'mcp-rendezvous-protocol';
import type { Engine } from '../peer/engine.ts';
import type { ConnectedPeer } from '../peer/negotiation.ts';
import type { RelayChannel } from '../signaling/relay-channel.ts';
import { RelayConnection, type RelayOptions, type RemotePeer } from '../signaling/relay-connection.ts';
import { type Connected, type ConnectionSettings, type Connector, negotiate, prepareEngine } from './connector.ts';
import { introduction } from './introduction.ts';
import { keyOf } from './peer-secret.ts';
import { absentFromRoom, relaySettings, silentPeer, watchIdentity, watchRemoval } from './relayed-peer.ts';
import type { ConnectOptions } from './types.ts';

/** A client's way through the relay to the room's server, whichever peer that is now. The client offers. */
export class RelayClientConnector implements Connector {
  readonly settings: ConnectionSettings;
  readonly #relay: RelayConnection;
  readonly #onerror: (error: RendezvousError) => void;
  /** The application has named its own ICE servers, so that an offer need not wait for the relay's. */
  readonly #knowsServers: boolean;
  readonly #secret: Connected['secret'];
  #server: RemotePeer | undefined;
  #channel: RelayChannel | undefined;

  /**
   * @param onerror hears of failures that do not end the session
   * @throws RendezvousError `bad_option`
   */
  constructor(engine: Engine, options: ConnectOptions & RelayOptions, onerror: (error: RendezvousError) => void) {
    this.#relay = new RelayConnection(options, 'client');
    this.#onerror = onerror;
    this.#knowsServers = options.iceServers !== undefined;
    this.#secret = keyOf(options.secret);
    this.settings = relaySettings(engine, options, this.#relay);
  }

  async connect(signal: AbortSignal): Promise<Connected> {
    const relay = this.#relay;
    const joined = Promise.withResolvers<void>();
    // The application's own servers are known before the relay is asked.
    if (this.#knowsServers) await prepareEngine(this.settings);
    // The offer is made while the socket opens, and travels inside of the `join`.
    const first = relay.firstChannel();
    this.#channel = first;
    let offered: Promise<ConnectedPeer> | undefined = negotiate(
      this,
      first,
      signal,
      this.#knowsServers ? undefined : joined.promise,
    );
    // Whoever awaits it hears why. One that no server has had is forgotten: the next attempt begins anew.
    offered.catch(() => first.peer === undefined && first.end());
    await relay.start(signal);
    await prepareEngine(this.settings);
    joined.resolve();
    while (true) {
      const channel = await this.reconnect(signal);
      const server = this.#server!;
      const self = relay.id;
      const current = () => this.#server ?? server;
      try {
        const context = introduction(relay, server, true);
        const peer = await (channel === first && offered ? offered : negotiate(this, channel, signal));
        channel.patient = true;
        return {
          peer,
          signaling: channel,
          ...watchIdentity(relay, current),
          removed: watchRemoval(relay, current, this.#onerror),
          room: relay.room,
          secret: this.#secret,
          context,
          sessionName: self ?? server.id,
        };
      } catch (error) {
        offered = undefined;
        // The server went, or one of both has another id now: the same peer, or another one, may be there.
        const replaced = !relay.knows(server.id) || relay.id !== self;
        if (signal.aborted || relay.state === 'closed' || !replaced) throw silentPeer(error, relay);
      }
    }
  }

  /** The channel of before, unless the server has another id or the channel has ended. */
  readonly reconnect = async (signal: AbortSignal): Promise<RelayChannel> => {
    const relay = this.#relay;
    const advice = 'No MCP server joined the room. Is it running, with a token for the same room and issuer?';
    const server = await relay.anyPeer(signal).catch((reason: unknown) => {
      throw absentFromRoom(reason, advice, relay);
    });
    this.#server = server;
    if (!this.#channel || this.#channel.closed || this.#channel.peer !== server.id) {
      this.#channel = relay.channel(server.id);
    }
    await prepareEngine(this.settings);
    return this.#channel;
  };

  hurry(): void {
    this.#relay.retryNow();
  }

  close(): void {
    void this.#relay.close();
  }
}
