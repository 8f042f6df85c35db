import { type Hello, RendezvousError } from 'mcp-rendezvous-protocol';
import { ownHello, type SessionState } from '../link/handshake.ts';
import { withoutTurn } from './allowed-paths.ts';
import type { Engine } from '../peer/engine.ts';
import type { PeerOptions } from '../peer/negotiation.ts';
import { type FirstPath, PathNegotiation } from './path-negotiation.ts';
import type { OpeningOptions, RelayedOpening } from '../relayed/relayed-opening.ts';
import type { RelayChannel } from '../signaling/relay-channel.ts';
import type { RemotePeer } from '../signaling/room-peers.ts';
import type { Signaling } from '../signaling/signaling.ts';
import { type ConnectOptions, defaultMaxMessageBytes, type Path } from './types.ts';

export type ConnectionSettings = Pick<
  PeerOptions,
  'engine' | 'iceServers' | 'iceTransportPolicy' | 'relayedOnly' | 'trickle' | 'diagnose'
>;

/** The first path to the other peer, who is at its other end, and the signaling that led there. */
export interface Connected {
  first: FirstPath;
  /** What led to it, and may lead to another path. */
  paths: PathNegotiation;
  signaling: Signaling;
  /** The session that an earlier path has begun, if this one goes on with it. */
  begun?: SessionState | undefined;
  /** The name of the MCP session in plain mode. */
  sessionName: string;
  /** Who the relay says the other side is, with its latest token. Undefined without a relay. */
  remote?: () => RemotePeer;
  room?: string | undefined;
  /** The other side's token has ended, and the relay knows no later one. */
  expired?: () => boolean;
  /**
   * Resolves when the operator has removed either peer, with the error that the session ends with.
   */
  removed?: Promise<RendezvousError>;
  /** Resolves when the other side has left the relay for good. */
  left?: Promise<void>;
  /** Hears whether the other side has closed its socket to the relay, and is not back yet. */
  watchSocket?: (heard: (closed: boolean) => void) => void;
  /** The key of the end-to-end secret. */
  secret: Uint8Array<ArrayBuffer> | undefined;
  /** Who was introduced to whom, and where: the proofs cover it. */
  context: Uint8Array;
}

/** A session that takes further connections, as far as its connector needs to know it. */
export interface ResumableSession {
  /** Its name in the offers of further connections; undefined if it cannot be resumed. */
  readonly name: string | undefined;
  /**
   * Takes a channel on which an offer for the session is about to come.
   *
   * @param proven called when a connection over the channel has proven that it belongs to the
   *   session
   */
  adopt(channel: RelayChannel, proven: () => void): void;
}

/** Hears what becomes of a session. None of these may throw. */
export interface SessionObserver {
  /** The session goes over this path from now on. */
  moved(path: Path): void;
  /** The session has ended, or could not be established. Without an error it was closed. */
  ended(error: RendezvousError | undefined): void;
}

/** Made when a transport starts. */
export type MakeConnector = (engine: Engine, onerror: (error: RendezvousError) => void) => Connector;

/**
 * One side's way to the other: how a session gets its first connection, and signaling for later
 * ones.
 */
export interface Connector {
  readonly settings: ConnectionSettings;
  readonly observer?: SessionObserver;
  /**
   * Finds the other peer and opens the data channel. Rejects with a RendezvousError, or the
   * signal's reason.
   *
   * @param lost why the path that it had found before was lost, see `mayReconnect`
   */
  connect(signal: AbortSignal, lost?: RendezvousError): Promise<Connected>;
  /**
   * Whether `connect` may find another path after the one that it had found failed with this error,
   * before the session was open on it.
   */
  mayReconnect?(error: RendezvousError): boolean;
  /**
   * The signaling for another offer: the same as before, or another one when the other side has a
   * new identity. Rejects when there will not be one any more. The side that offers has it, the
   * side that answers does not.
   */
  readonly reconnect?: (signal: AbortSignal) => Promise<Signaling>;
  /**
   * The handshake of the relayed path in a negotiation over this signaling; undefined where there
   * is no such path.
   */
  open?(signaling: Signaling, options: Pick<OpeningOptions, 'key' | 'session' | 'hello'>): RelayedOpening | undefined;
  /** Gives later offers for the session to it, until `close()`. */
  keep?(session: ResumableSession): void;
  /** Ends the waits of a signaling channel that is down. */
  hurry?(): void;
  /** Gives up signaling. A connection that stands goes on. Idempotent. */
  close(): void;
}

export const makesOffers = ({ reconnect }: Connector): boolean => reconnect !== undefined;

/** What the answerer of a session's first negotiation says in the handshake of the relayed path. */
export const firstHello =
  (options: ConnectOptions, secret: Connected['secret']): (() => Hello) =>
  () =>
    ownHello({ maxMessageBytes: options.maxMessageBytes ?? defaultMaxMessageBytes, received: 0, secret }, undefined);

export interface NegotiationOptions
  extends Pick<PeerOptions, 'known' | 'started' | 'resume'>, Pick<OpeningOptions, 'key' | 'hello'> {
  /** Neither TURN nor the relayed path is of any use. */
  directOnly?: boolean;
}

/** Begins a negotiation of a session, over signaling that nothing else uses. */
export function negotiate(
  connector: Connector,
  signaling: Signaling,
  { key, hello, directOnly = false, ...options }: NegotiationOptions,
): PathNegotiation {
  const { settings } = connector;
  const opening = directOnly ? undefined : connector.open?.(signaling, { key, session: options.resume, hello });
  const iceServers = directOnly ? () => settings.iceServers().flatMap(withoutTurn) : settings.iceServers;
  return new PathNegotiation(
    { ...settings, ...options, iceServers, directOnly, signaling, offerer: makesOffers(connector) },
    opening,
  );
}

/** What a timeout means while nobody has been met yet. */
export function peerAbsent(reason: unknown, advice: string): unknown {
  if (!(reason instanceof RendezvousError) || reason.code !== 'connect_timeout') return reason;
  return new RendezvousError('peer_absent', `${reason.message} ${advice}`, { retryable: true });
}
