import type { FrameFromRelay, PeerClaims } from 'mcp-rendezvous-protocol';
import type { LocalPeer, PeerRecord } from '../broker/broker.ts';
import { parseRoomKey } from '../rooms/ids.ts';
import type { ConnectionContext } from './connection-context.ts';
import { relayedRate } from './relayed-data.ts';
import { SessionReports } from './session-reports.ts';

/** What the relay offers to a peer, with which it has joined. */
export function joinedFrame(
  peer: LocalPeer,
  resume: string,
  others: PeerRecord[],
  { limits, invitations, iceServers }: ConnectionContext,
): FrameFromRelay {
  const relayed = relayedRate(peer, limits);
  return {
    type: 'joined',
    peer: peer.id,
    resume,
    room: parseRoomKey(peer.room).room,
    role: peer.role,
    peers: others.map(({ id, state, claims }) => ({ id, state, claims })),
    iceServers: iceServers(peer.claims),
    expiresAt: peer.claims.exp,
    now: Math.floor(Date.now() / 1000),
    limits: { maxFrameBytes: limits.maxFrameBytes, ...(relayed && { relayed }), ...invitations.offered(peer) },
    ...SessionReports.offered(peer),
  };
}

/** The part of it that needs no place in a room. */
export function checkedFrame(claims: PeerClaims, { limits, iceServers }: ConnectionContext): FrameFromRelay {
  const relayed = relayedRate({ claims }, limits);
  return { type: 'checked', iceServers: iceServers(claims), limits: relayed ? { relayed } : {} };
}
