import type { MessageMeta } from '../link/link.ts';
import type { Engine } from '../peer/engine.ts';
import type { RtcPeerConnectionConstructor } from '../peer/native.ts';
import type { IceServer } from 'mcp-rendezvous-protocol';
import type { RelayOptions, RemotePeer } from '../signaling/relay-connection.ts';
import type { Signaling } from '../signaling/signaling.ts';
import type { DiagnosticHandler } from '../util/diagnostic.ts';

export type { DiagnosticEvent, DiagnosticHandler } from '../util/diagnostic.ts';

/** Over what a session's data goes. */
export type Path = 'direct' | 'turn' | 'relayed';

/** The secret that a server shares with this client; undefined: none. */
export type SecretSource = (peer: RemotePeer) => string | undefined | Promise<string | undefined>;

/** How to connect, whichever way the two peers find each other. */
export interface ConnectOptions {
  /**
   * The WebRTC engine: a class with the interface of RTCPeerConnection, or one of this package's
   * engines. Default in Node: node-datachannel where it is installed, else werift; in a browser the
   * page's own.
   */
  rtc?: Engine | RtcPeerConnectionConstructor;
  /**
   * STUN and TURN servers (WebRTC's RTCIceServer). Default: those that the relay names, and none
   * without a relay.
   */
  iceServers?: IceServer[];
  /**
   * `relay`: only through TURN, so that the peers do not learn each other's addresses. Default
   * `all`.
   */
  iceTransportPolicy?: 'all' | 'relay';
  /**
   * Over which paths data may go: `direct`, through `turn`, or `relayed`, which is encrypted end to
   * end over the connections to the relay. The last one is there at once and wherever the relay is;
   * a better one is taken as soon as it stands. Without a relay, with a relay that does not offer
   * it, and with a peer in plain mode there is no relayed path. Without `direct`, a peer that has
   * no TURN server makes no connection at all and tells no address: with `relayed` its sessions
   * stay on that path, and with `turn` too they move when the relay names a TURN server; without
   * `relayed`, `start()` rejects with `bad_option`. Default: all of them; with `iceTransportPolicy:
   * 'relay'` only `turn`.
   */
  paths?: Path[];
  /**
   * How long `start()` may take, from joining the room to the open data channel, waiting for the
   * other peer included; in milliseconds, `Infinity` for no limit. Default 30,000.
   */
  connectTimeoutMs?: number;
  /**
   * The end-to-end secret that both peers have and the relay does not: the result of
   * `createSecret()`, or of `mcp-rendezvous secret`. Both sides prove over the data channel that
   * they know it and see the same connection, before any MCP message passes. Without it the relay
   * is trusted to introduce the right peer. The other side needs the same one, and framed mode.
   *
   * For a server behind a relay it may be a function of the client, called once for each session.
   * The claims come from the relay: whoever returns undefined for a client takes the relay's word
   * for it. A function that throws refuses the client.
   */
  secret?: string | SecretSource;
  /**
   * Hears of each step of connecting and of what becomes of the connection, for logs and user
   * interfaces. The events are for people: what a program does next depends on errors and states.
   * No token, secret, description or address is in them.
   *
   * @default none
   * @example
   * ondiagnostic: ({ type, ...details }) => console.debug(type, details)
   */
  ondiagnostic?: DiagnosticHandler;
  /** Aborts connecting. It has no effect on a transport that is connected. */
  signal?: AbortSignal;
  /**
   * The largest message in bytes of UTF-8, either way: an integer, 1,024 at least. Default
   * 10,485,760. The other side's limit counts too; in plain mode that is at most 262,144.
   */
  maxMessageBytes?: number;
}

/** Over a signaling channel of your own. */
export interface SignalingOptions {
  signaling: Signaling;
  /**
   * Names the channel, such as a ticket or the two parties: 1 to 256 characters. Both sides need
   * the same one, and prove it with the secret, so that nobody who carries the messages can join
   * peers of two channels that have the same secret. Not with a relay, where room, issuer, subjects
   * and roles are proven.
   *
   * @default none
   */
  context?: string;
}

/** Through the relay of an invitation, which has relay, token and secret in it. */
export interface InvitedOptions extends Pick<RelayOptions, 'webSocket' | 'ondiagnostic'> {
  /**
   * All that this side needs, in one string: the result of `createInvitation()`, of `invite()` or
   * of `mcp-rendezvous invite`, for the role of this side. A server derives from it the secret of
   * each client that has an invitation of its own, and takes no others.
   */
  invitation: string;
}

/** As options are once an invitation has been read. */
export type PlainOptions = ConnectOptions & (RelayOptions | SignalingOptions);

/** Through a relay, with an invitation to one, or over a signaling channel of your own. */
export type TransportOptions = PlainOptions | (Omit<ConnectOptions, 'secret'> & InvitedOptions);

/** Who is at the other end of a transport. */
export interface TransportPeer extends RemotePeer {
  /** It has proven that it has the secret. Otherwise the relay vouches for it, and nobody else. */
  readonly verified: boolean;
}

/** `recovering`: the network path is lost and being restored; messages wait. */
export type TransportState = 'new' | 'connecting' | 'connected' | 'recovering' | 'closed';

/** Who a request came from, in the form of the MCP SDKs' AuthInfo. */
export interface AuthInfo {
  /** Empty: the other peer's token is its secret, and was the relay's to check. */
  token: string;
  /** The token's `client_id`, or else its `sub`. */
  clientId: string;
  scopes: string[];
  /** Seconds since the epoch. */
  expiresAt?: number;
  extra?: Record<string, unknown>;
}

/** What comes beside a message. */
export interface MessageExtra extends MessageMeta {
  /** A server's: who it is from. */
  authInfo?: AuthInfo;
}

/**
 * The members of the MCP SDKs' TransportSendOptions that a transport of this kind carries, in
 * framed mode, to the other side.
 */
export type SendOptions = MessageMeta;

export const defaultMaxMessageBytes = 10_485_760;
