import type { PeerClaims, PeerReason, PeerState, RelayErrorCode, Role } from 'mcp-rendezvous-protocol';
import type { ResumeClaim, RoomKey } from '../rooms/ids.ts';

/** A peer on the instance that its socket is, or was, connected to. */
export interface LocalPeer {
  room: RoomKey;
  id: string;
  /** Digest of the current resume secret, which is new with every `joined`: names a connection. */
  resumeDigest: string;
  role: Role;
  /** Tells clients of one subject apart; empty when none was given, and always for a server. */
  process: string;
  claims: PeerClaims;
  /** When the peer first joined, in milliseconds since the epoch. */
  since: number;
}

/** A peer as every instance knows it. */
export interface PeerRecord {
  id: string;
  instance: string;
  role: Role;
  state: 'online' | 'away';
  /** Why it is `away`. */
  reason?: PeerReason;
  claims: PeerClaims;
  /** The group's version at the peer's last change. */
  version: number;
  /**
   * The group's version when the peer last joined or resumed. Watchers are told of a resumption
   * even if they never heard that the peer was away.
   */
  joined: number;
}

/** A peer as the operator sees it. */
export interface PeerSummary extends Omit<PeerRecord, 'version' | 'joined'> {
  /** When it first joined, in milliseconds since the epoch. */
  since: number;
}

/**
 * The peers of one role in a room: the server, or the clients. A peer of one group watches the
 * other group, so each group has its own version, which grows with every change.
 */
export interface Group {
  version: number;
  members: PeerRecord[];
  /**
   * Peers that the operator removed lately. Their sessions have to end even where the removal
   * itself was not heard.
   */
  removed?: Removal[];
}

/** A peer that the operator removed. */
export interface Removal {
  id: string;
  reason: 'kicked' | 'revoked';
}

/** Whether the operator removed the peer, so that its sessions have to end. */
export const isRemoval = (reason: PeerReason | undefined): reason is Removal['reason'] =>
  reason === 'kicked' || reason === 'revoked';

/** What others are told of a peer that the operator removed with this code; else undefined. */
export function removalReason(code: RelayErrorCode | undefined): Removal['reason'] | undefined {
  if (code === 'token_revoked') return 'revoked';
  return code === 'kicked' ? code : undefined;
}

/** How many removals are remembered for a room, and for how long, in milliseconds. */
export const rememberedRemovals = 256;
export const removalMemoryMs = 3_600_000;

/** What the operator revokes: every token of the issuer with this `jti`, `sub` or `room`. */
export interface Revocation {
  by: 'jti' | 'sub' | 'room';
  /** Empty for tokens without one. */
  issuer: string;
  value: string;
  /** Milliseconds since the epoch. */
  until: number;
}

/** One step of a group. */
export interface Change {
  room: RoomKey;
  role: Role;
  id: string;
  state: PeerState;
  /** With `gone`: its instance is dead, or cut off and may bring it back under the same id. */
  lost?: true;
  /** Of `away` and `gone`, where it is known. */
  reason?: PeerReason;
  instance: string;
  claims: PeerClaims;
  version: number;
  /**
   * The group's version before; or `unchained`. An instance that knows another version has missed
   * something.
   */
  previous: number;
  joined: number;
}

/** `Change.previous` of a change that was not written into the shared memory. */
export const unchained = -1;

/** What instances send each other. */
export type Message =
  /** `data` is the JSON text of a signal's data; `origin` the sender's instance. */
  | { type: 'signal'; room: RoomKey; to: string; from: string; id: string; data: string; origin: string }
  /** Answers a signal for a peer that is not on this instance: its sender gets an outcome. */
  | { type: 'undelivered'; room: RoomKey; to: string; id: string }
  /** A connection lost its place; without a code because the peer itself resumed on another one. */
  | { type: 'evict'; room: RoomKey; id: string; resumeDigest: string; code?: RelayErrorCode };

/** A room as the operator sees it. */
export interface RoomSummary {
  room: RoomKey;
  /** Undefined: it has none. */
  server?: 'online' | 'away';
  clients: number;
}

/** The part of a room that an instance holds. */
export interface Holding {
  room: RoomKey;
  /** The peers whose sockets are here. */
  peers: LocalPeer[];
  /** The groups that they watch, with the version that is known here. */
  watched: { role: Role; version: number }[];
}

/** What a broker needs of its instance. None of these may throw. */
export interface Instance {
  holdings(): Iterable<Holding>;
  /** Whether the peer's connection is still here. */
  holds(peer: LocalPeer): boolean;
  onchange(change: Change): void;
  /** A group as it is now, because this instance missed a change of it. */
  ongroup(room: RoomKey, role: Role, group: Group): void;
  onmessage(message: Message): void;
}

/**
 * The bus between instances and their shared memory of all peers. Every method rejects with the
 * RelayError `unavailable`, quickly, when the bus does not answer.
 */
export interface Broker {
  /** This instance's id. */
  readonly instance: string;
  /** Whether peers can join and messages of other instances arrive here. */
  readonly ready: boolean;
  /**
   * Begins to serve the instance; resolves when the bus is ready or known to be down. Called once,
   * before all else.
   */
  start(local: Instance): Promise<void>;
  /**
   * Gives a peer its place in one atomic step: takes back the id that `resume` proves, replaces an
   * older connection of the same subject (and process), and tells the watchers. Resolves with the
   * resumed id, or with the peer's own.
   *
   * Rejects with the RelayError `room_taken` when another subject has the server's place,
   * `room_full` when there are too many clients, `token_revoked`; with that or `kicked` also when
   * the operator removed the peer that resumes. A peer that resumes is also told of recent removals
   * (`others.removed`).
   */
  join(peer: LocalPeer, resume?: ResumeClaim): Promise<{ id: string; others: Group }>;
  /**
   * The peer's socket was lost (`away`: it may resume within the window), or it left (`gone`), with
   * the reason `revoked` if its token was revoked. A connection that lost its place before changes
   * nothing.
   */
  depart(peer: LocalPeer, state: 'away' | 'gone', reason?: PeerReason): Promise<void>;
  /** Writes a peer's new claims. Rejects with the RelayError `token_revoked`. */
  update(peer: LocalPeer): Promise<void>;
  /** A peer of the room on any instance. */
  find(room: RoomKey, id: string): Promise<PeerRecord | undefined>;
  /** Sends to another instance. False: that instance does not run. */
  publish(instance: string, message: Message): Promise<boolean>;
  /**
   * Removes every peer with such a token, on all instances, and refuses these tokens from then on.
   * Resolves with how many peers it removed.
   */
  revoke(revocation: Revocation): Promise<number>;
  /** Removes a peer on any instance. False: there is none. */
  kick(room: RoomKey, id: string): Promise<boolean>;
  /**
   * Lists rooms in a stable order, beginning after the one that `after` names. `after` in the
   * result means that there are more.
   */
  list(limit: number, after?: string): Promise<{ rooms: RoomSummary[]; after?: string }>;
  /** The peers of a room, on all instances. */
  peersOf(room: RoomKey): Promise<PeerSummary[]>;
  close(): Promise<void>;
}
