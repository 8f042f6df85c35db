import type { MessageMeta } from '../link/link.ts';
import type { Engine } from '../peer/engine.ts';
import type { RtcPeerConnectionConstructor } from '../peer/native.ts';
import type { IceServer } from 'mcp-rendezvous-protocol';
import type { RelayOptions, RemotePeer } from '../signaling/relay-connection.ts';
import type { Signaling } from '../signaling/signaling.ts';

/** The secret that a server shares with this client; undefined: none. */
export type SecretSource = (peer: RemotePeer) => string | undefined | Promise<string | undefined>;

/** How to connect, whichever way the two peers find each other. */
export interface ConnectOptions {
  /**
   * The WebRTC engine: a class with the interface of RTCPeerConnection, or one of this package's engines. Default in Node:
   * node-datachannel where it is installed, else werift; in a browser the page's own.
   */
  rtc?: Engine | RtcPeerConnectionConstructor;
  /** STUN and TURN servers (WebRTC's RTCIceServer). Default: those that the relay names, and none without a relay. */
  iceServers?: IceServer[];
  /** `relay`: only through TURN, so that the peers do not learn each other's addresses. Default `all`. */
  iceTransportPolicy?: 'all' | 'relay';
  /**
   * How long `start()` may take, from joining the room to the open data channel, waiting for the other peer included; in
   * milliseconds, `Infinity` for no limit. Default 30,000.
   */
  connectTimeoutMs?: number;
  /**
   * The end-to-end secret that both peers have and the relay does not: the result of `createSecret()`, or of `mcp-rendezvous secret`.
   * Both sides prove over the data channel that they know it and see the same connection, before any MCP message passes.
   * Without it the relay is trusted to introduce the right peer. The other side needs the same one, and framed mode.
   * In a page: secure contexts only.
   *
   * For a server behind a relay it may be a function of the client, called once for each session. The claims come from the
   * relay: whoever returns undefined for a client takes the relay's word for it. A function that throws refuses the client.
   */
  secret?: string | SecretSource;
  /** Aborts connecting. It has no effect on a transport that is connected. */
  signal?: AbortSignal;
  /**
   * The largest message in bytes of UTF-8, either way: an integer, 1,024 at least. Default 10,485,760. The other side's limit counts too; in plain mode that is at
   * most 262,144.
   */
  maxMessageBytes?: number;
}

/** Over a signaling channel of your own. */
export interface SignalingOptions {
  signaling: Signaling;
  /**
   * Names the channel, such as a ticket or the two parties: 1 to 256 characters. Both sides need the same one, and prove it with the
   * secret, so that nobody who carries the messages can join peers of two channels that have the same secret. Not with a
   * relay, where room, issuer, subjects and roles are proven.
   *
   * @default none
   */
  context?: string;
}

/** Through a relay, or over a signaling channel of your own. */
export type TransportOptions = ConnectOptions & (RelayOptions | SignalingOptions);

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

/** The members of the MCP SDKs' TransportSendOptions that a transport of this kind carries, in framed mode, to the other side. */
export type SendOptions = MessageMeta;

export const defaultMaxMessageBytes = 10_485_760;
