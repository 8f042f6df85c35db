import type {
  PeerClaims,
  PeerReason,
  PeerState,
  RelayErrorCode,
  Role,
  SessionPath,
  SessionReport,
} from 'mcp-rendezvous-protocol';
import type { ResumeClaim, RoomKey } from '../rooms/ids.ts';

/** The other role, whose peers a peer watches and signals. */
export const otherRole = (role: Role): Role => (role === 'server' ? 'client' : 'server');

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
  /** When data was last relayed from or to the peer, in milliseconds since the epoch. */
  relayedAt?: number;
  session?: SessionNote;
}

/** What a client last reported of its session. */
export interface SessionNote {
  /** Since when it is so, in milliseconds since the epoch. */
  at: number;
  /** Absent: the session failed. */
  path?: SessionPath | undefined;
}

/** A peer as every instance knows it. */
export interface PeerRecord {
  id: string;
  instance: string;
  role: Role;
  state: 'online' | 'away';
  reason?: PeerReason;
  claims: PeerClaims;
  /** The group's version at the peer's last change. */
  version: number;
  /**
   * The group's version when the peer last joined or resumed. Watchers receive a resumption even if
   * they never received the `away`.
   */
  joined: number;
}

export interface PeerSummary extends Omit<PeerRecord, 'version' | 'joined'> {
  since: number;
  relayedAt?: number;
  session?: SessionNote;
}

/**
 * Why a peer was rejected, or whoever presented a token for its room; or why its session failed.
 */
export interface PeerError {
  /** The last time, in milliseconds since the epoch. */
  at: number;
  /** The relay's own, or as the peer reported it. */
  code: string;
  /** The variable of the limit that was exceeded. */
  limit?: string;
  role: Role;
  sub: string;
  times: number;
}

/** How many errors of a room are remembered. */
export const rememberedErrors = 20;
/** How many of them are of one subject, which may make up codes of its own. */
export const errorsOfOne = 5;
/** For how long an operator is shown what happened in a room, in milliseconds. */
export const noteMemoryMs = 3_600_000;

/** Adds an error to those of a room. What happened before counts as one with it. */
export function addError(errors: PeerError[], error: PeerError): void {
  const { code, limit, role, sub } = error;
  const index = errors.findIndex(
    (known) => known.code === code && known.limit === limit && known.role === role && known.sub === sub,
  );
  const [before] = index < 0 ? [] : errors.splice(index, 1);
  errors.push({ ...error, times: error.times + (before?.times ?? 0) });
  const isOfOne = (known: PeerError): boolean => known.role === role && known.sub === sub;
  if (errors.filter(isOfOne).length > errorsOfOne) errors.splice(errors.findIndex(isOfOne), 1);
  if (errors.length > rememberedErrors) errors.shift();
}

/**
 * The peers of one role in a room: the server, or the clients. A peer of one group watches the
 * other group, so each group has its own version, which grows with every change.
 */
export interface Group {
  version: number;
  members: PeerRecord[];
  /**
   * Peers that the operator removed lately. Their sessions must end even where the removal was
   * lost.
   */
  removed?: Removal[];
}

export interface Removal {
  id: string;
  reason: 'kicked' | 'revoked';
}

/** Whether the operator removed the peer, so that its sessions have to end. */
export const isRemoval = (reason: PeerReason | undefined): reason is Removal['reason'] =>
  reason === 'kicked' || reason === 'revoked';

/** The reason that others receive for a removal with this code; else undefined. */
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

export type Message =
  /** `data` is the JSON text of a signal's data; `origin` the sender's instance. */
  | { type: 'signal'; room: RoomKey; to: string; from: string; id: string; data: string; origin: string }
  /** Answers a signal for a peer that is not on this instance: its sender gets an outcome. */
  | { type: 'undelivered'; room: RoomKey; to: string; id: string }
  /** A connection lost its place; without a code because the peer itself resumed on another one. */
  | { type: 'evict'; room: RoomKey; id: string; resumeDigest: string; code?: RelayErrorCode };

/** Relayed data for a peer, as it is sent to it: the relay cannot read it. */
export interface RelayedFrame {
  room: RoomKey;
  to: string;
  frame: Buffer;
}

export interface RoomSummary {
  room: RoomKey;
  server?: 'online' | 'away';
  clients: number;
}

/** The part of a room that an instance holds. */
export interface Holding {
  room: RoomKey;
  peers: LocalPeer[];
  /** The groups that they watch, with the version that is known here. */
  watched: { role: Role; version: number }[];
}

/**
 * Hears which peers come and go, each of them on one instance: the one where it joined, and the one
 * whose step removed it. None of these may throw.
 */
export interface PeerObserver {
  /**
   * A peer joined, and did not resume. `restored`: the shared memory did not have it any more, so
   * that others may have taken it for gone.
   */
  joined(peer: LocalPeer, restored: boolean): void;
  /** A peer is gone. One that is away is not gone before its resume window is over. */
  left(change: Change): void;
  /** A client reported how its session with another peer is doing. */
  reported(peer: LocalPeer, report: SessionReport): void;
}

/** What a broker needs of its instance. None of these may throw. */
export interface Instance {
  holdings(): Iterable<Holding>;
  holds(peer: LocalPeer): boolean;
  onchange(change: Change): void;
  /** A group as it is now, because this instance missed a change of it. */
  ongroup(room: RoomKey, role: Role, group: Group): void;
  onmessage(message: Message): void;
  onrelayed(frame: RelayedFrame): void;
}

/**
 * The bus between instances and their shared memory of all peers. Every method rejects with the
 * RelayError `unavailable`, quickly, when the bus does not answer.
 */
export interface Broker {
  readonly instance: string;
  /** Whether peers can join and messages of other instances arrive here. */
  readonly ready: boolean;
  /** Why not, and what the operator must do, if known. */
  readonly refusal?: string | undefined;
  /**
   * Begins to serve the instance; resolves when the bus is ready or known to be down. Called once,
   * before all else.
   *
   * @throws ConfigError when only another configuration can make it ready
   */
  start(local: Instance): Promise<void>;
  /**
   * Gives a peer its place in one atomic step: takes back the id that `resume` proves, replaces an
   * older connection of the same subject (and process), and tells the watchers. Resolves with the
   * resumed id, or with the peer's own.
   *
   * Rejects with the RelayError `room_taken` when another subject has the server's place,
   * `room_full` when there are too many clients, `token_revoked`; with that or `kicked` also when
   * the operator removed the peer that resumes. A peer that resumes also receives recent removals
   * (`others.removed`).
   */
  join(peer: LocalPeer, resume?: ResumeClaim): Promise<{ id: string; others: Group }>;
  /** Rejects with `token_revoked` when the peer could not join for that; it does not join. */
  check(peer: LocalPeer): Promise<void>;
  /**
   * The peer's socket was lost (`away`: it may resume within the window), or it left (`gone`), with
   * the reason `revoked` if its token was revoked. A connection that lost its place before changes
   * nothing.
   */
  depart(peer: LocalPeer, state: 'away' | 'gone', reason?: PeerReason): Promise<void>;
  /** Writes a peer's new claims. Rejects with the RelayError `token_revoked`. */
  update(peer: LocalPeer): Promise<void>;
  find(room: RoomKey, id: string): Promise<PeerRecord | undefined>;
  /** Sends to another instance. False: that instance does not run. */
  publish(instance: string, message: Message): Promise<boolean>;
  /** Sends relayed data to another instance. It may be lost: the peers notice. */
  relay(instance: string, frame: RelayedFrame): void;
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
  peersOf(room: RoomKey): Promise<PeerSummary[]>;
  /** Notes an error for the operator, within a heartbeat, unless the room has no peers. */
  noteError(room: RoomKey, error: PeerError): void;
  /** The errors that were noted since the room has had peers, the latest last. */
  errorsOf(room: RoomKey): Promise<PeerError[]>;
  close(): Promise<void>;
}
