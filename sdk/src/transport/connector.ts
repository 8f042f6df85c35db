import { RendezvousError } from 'mcp-rendezvous-protocol';
import { type ConnectedPeer, PeerNegotiation, type PeerOptions } from '../peer/negotiation.ts';
import type { RemotePeer } from '../signaling/room-peers.ts';
import type { Signaling } from '../signaling/signaling.ts';

/** How the connections of a session are made. */
export type ConnectionSettings = Pick<PeerOptions, 'engine' | 'iceServers' | 'iceTransportPolicy' | 'trickle'>;

/** An open data channel, who is at its other end, and the signaling that led there. */
export interface Connected {
  peer: ConnectedPeer;
  signaling: Signaling;
  /** The name of the MCP session in plain mode. */
  sessionName: string;
  /** Who the relay says the other side is, with its latest token. Undefined without a relay. */
  remote?: () => RemotePeer;
  room?: string | undefined;
  /** The other side's token has ended, and the relay knows no later one. */
  expired?: () => boolean;
  /** Resolves when the operator has removed either peer, with the error that the session ends with. */
  removed?: Promise<RendezvousError>;
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
   * Takes a signaling channel on which an offer for the session is about to come.
   *
   * @param proven called when a connection over the channel has proven that it belongs to the session
   */
  adopt(signaling: Signaling, proven: () => void): void;
}

/** One side's way to the other: how a session gets its first connection, and signaling for later ones. */
export interface Connector {
  readonly settings: ConnectionSettings;
  /** Finds the other peer and opens the data channel. Rejects with a RendezvousError, or the signal's reason. */
  connect(signal: AbortSignal): Promise<Connected>;
  /**
   * The signaling for another offer: the same as before, or another one when the other side has a
   * new identity. Rejects when there will not be one any more. The side that offers has it, the side
   * that answers does not.
   */
  readonly reconnect?: (signal: AbortSignal) => Promise<Signaling>;
  /** Gives later offers for the session to it, until `close()`. */
  keep?(session: ResumableSession): void;
  /** Ends the waits of a signaling channel that is down. */
  hurry?(): void;
  /** Gives up signaling. A connection that stands goes on. Idempotent. */
  close(): void;
}

/** Whether a connector's side makes the offers. */
export const makesOffers = ({ reconnect }: Connector): boolean => reconnect !== undefined;

/** Has the engine load what connections with the current ICE servers need. */
export async function prepareEngine({ engine, iceServers, iceTransportPolicy }: ConnectionSettings): Promise<void> {
  await engine.prepare?.({ iceServers: iceServers(), iceTransportPolicy });
}

/** The first negotiation of a session; `known`: see {@link PeerOptions}. */
export async function negotiate(
  connector: Connector,
  signaling: Signaling,
  signal: AbortSignal,
  known?: Promise<void>,
): Promise<ConnectedPeer> {
  const options = { ...connector.settings, signaling, offerer: makesOffers(connector), known };
  return await new PeerNegotiation(options).run(signal);
}

/** What a timeout means while nobody has been met yet. */
export function peerAbsent(reason: unknown, advice: string): unknown {
  if (!(reason instanceof RendezvousError) || reason.code !== 'connect_timeout') return reason;
  return new RendezvousError('peer_absent', `${reason.message} ${advice}`, { retryable: true });
}
