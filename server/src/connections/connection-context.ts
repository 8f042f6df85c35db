import type { IceServer, PeerClaims, RelayErrorCode } from 'mcp-rendezvous-protocol';
import type { VerifyPatiently } from '../auth/verify.ts';
import type { LocalPeer } from '../broker/broker.ts';
import type { Limits } from '../config/config.ts';
import type { Logger } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import type { Limit, RejectionLog } from '../rejection-log.ts';
import type { Rooms } from '../rooms/rooms.ts';
import type { Budget } from './budget.ts';
import type { ConnectionLimits } from './connection-limits.ts';
import type { Invitations } from './invitations.ts';
import type { ConnectionRegistry } from './registry.ts';
import type { RelayedLimits } from './relayed-limits.ts';
import type { SessionReports } from './session-reports.ts';

/** A connection, as far as the budgets of memory need to know it. */
export interface BufferHolder {
  /** The memory that an incomplete message of the peer occupies, in bytes. */
  readonly unread: number;
  /** The memory that frames occupy which the peer has not read, in bytes, without relayed data. */
  readonly unsent: number;
  /** Ends the connection at once, which frees the memory of what waits to be sent. */
  terminate(code: RelayErrorCode, limit: Limit): void;
}

export interface ConnectionContext {
  rooms: Rooms;
  connectionLimits: ConnectionLimits;
  /**
   * Incomplete messages of joined peers. Sockets that have not joined need no count: they are
   * limited by their number, times the size of a `join`.
   */
  unread: Budget<BufferHolder>;
  /** Frames that peers have not read. */
  unsent: Budget<BufferHolder>;
  relayed: RelayedLimits;
  invitations: Invitations;
  sessionReports: SessionReports;
  verify: VerifyPatiently;
  registry: ConnectionRegistry;
  iceServers: (peer: PeerClaims) => IceServer[];
  /** How often a peer gets new ICE servers, in ms. Undefined: their credentials do not expire. */
  renewIceMs: number | undefined;
  limits: Limits;
  metrics: Metrics;
  log: Logger;
  rejectionLog: RejectionLog;
  /** Notes for the operator why a peer is rejected, or whoever presented a token for its room. */
  noteError: (whose: Pick<LocalPeer, 'room' | 'claims'> | undefined, code: RelayErrorCode, limit?: Limit) => void;
}
