import type { PeerClaims, PeerReason, PeerState, RelayErrorCode, Role } from 'mcp-rendezvous-protocol';
import type { Revocation } from './revocations.ts';

/** A peer's place in a room, held by one connection at a time. */
export interface Seat {
  /** The room's key: its name and its issuer. */
  room: string;
  id: string;
  /** Digest of the current resume secret. It names the connection: a new one with every `joined`. */
  connection: string;
  role: Role;
  /** Tells clients of one subject apart; empty when the client named none. Always empty for a server. */
  process: string;
  claims: PeerClaims;
  /** When the peer came, in milliseconds since the epoch. */
  since: number;
}

/** A peer as other instances know it. */
export interface Member {
  id: string;
  instance: string;
  role: Role;
  state: 'online' | 'away';
  /** Why it is `away`. */
  reason?: PeerReason;
  claims: PeerClaims;
  /** The group's version at the peer's last change. */
  version: number;
  /** The group's version when the peer last joined or resumed: watchers are told of it even if they never heard that it was away. */
  joined: number;
}

/**
 * The peers of one role in a room: the server, or the clients. Whoever is in one group watches the other one, so each group
 * has a version of its own, which grows with every change.
 */
export interface Group {
  version: number;
  members: Member[];
  /** Peers that the operator removed lately: their sessions have to end even where the removal itself was not heard. */
  removed?: Removal[];
}

/** A peer that the operator removed. */
export interface Removal {
  id: string;
  reason: 'kicked' | 'revoked';
}

/** Whether the peer was removed by the operator, so that its sessions have to end. */
export const isRemoval = (reason: PeerReason | undefined): reason is Removal['reason'] =>
  reason === 'kicked' || reason === 'revoked';

/** What others hear of a peer that was refused or evicted with this code; undefined: it was not the operator. */
export function removalReason(code: RelayErrorCode | undefined): Removal['reason'] | undefined {
  if (code === 'token_revoked') return 'revoked';
  return code === 'kicked' ? code : undefined;
}

/** Removals that are remembered for a room, and for how long, in milliseconds. */
export const rememberedRemovals = 256;
export const removalMemoryMs = 3_600_000;

/** One step of a group. */
export interface Change {
  room: string;
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
  /** The group's version before: whoever has another one missed something. */
  previous: number;
  joined: number;
}

/** What instances send each other. */
export type Message =
  /** `data` is the JSON text of a signal's data; `origin` the sender's instance. */
  | { type: 'signal'; room: string; to: string; from: string; id: string; data: string; origin: string }
  /** The answer to a signal for a peer that is not here (any more): its sender gets an outcome. */
  | { type: 'undelivered'; room: string; to: string; id: string }
  /** The peer's connection lost its place; without a code because the peer itself resumed on another one. */
  | { type: 'evict'; room: string; id: string; connection: string; code?: RelayErrorCode };

/** A room as the operator sees it. */
export interface RoomSummary {
  /** The room's key. */
  room: string;
  /** Undefined: it has none. */
  server?: 'online' | 'away';
  clients: number;
}

/** A peer as the operator sees it. */
export interface Resident extends Omit<Member, 'version' | 'joined'> {
  /** When it came, in milliseconds since the epoch. */
  since: number;
}

/** A room as far as an instance holds peers in it. */
export interface Holding {
  room: string;
  /** The peers whose sockets are here. */
  seats: Seat[];
  /** The groups that they watch, with the version that is known here. */
  watched: { role: Role; version: number }[];
}

/** What a broker needs of the instance that it serves. None of these may throw. */
export interface Instance {
  holdings(): Iterable<Holding>;
  /** Whether the seat's connection is still here. */
  holds(seat: Seat): boolean;
  onchange(change: Change): void;
  /** A group as it is now, because this instance missed a change of it. */
  ongroup(room: string, role: Role, group: Group): void;
  onmessage(message: Message): void;
}

/**
 * The bus between instances and their shared memory of who is where. Every method that fails because the bus does not answer
 * rejects with the RelayError `unavailable`, quickly.
 */
export interface Broker {
  /** This instance's id. */
  readonly instance: string;
  /** Peers can be placed, and messages of other instances arrive here. */
  readonly ready: boolean;
  /** Begins to serve the instance; resolves when the bus is ready or known to be down. Called once, before all else. */
  start(local: Instance): Promise<void>;
  /**
   * Places a peer, in one step: takes back the identity that `resume` names if it is right, replaces an older connection of the
   * same subject (and process), and tells the watchers. The resulting id is the seat's or the resumed one.
   * Rejects with the RelayError `room_taken` when another subject has the server's place, `room_full` when there are too many
   * clients, `token_revoked`; with that or `kicked` also when the operator removed the peer that `resume` names.
   * Whoever names one is also told of recent removals (`others.removed`).
   */
  join(seat: Seat, resume?: { id: string; connection: string }): Promise<{ id: string; others: Group }>;
  /** The peer's socket was lost (`away`: it may resume within the window), or it left (`gone`), `revoked` if with a token that was. A stale connection changes nothing. */
  depart(seat: Seat, state: 'away' | 'gone', reason?: PeerReason): Promise<void>;
  /** Writes a peer's new claims, for those who join later. Rejects with the RelayError `token_revoked`. */
  update(seat: Seat): Promise<void>;
  /** A peer of the room, wherever it is. */
  find(room: string, id: string): Promise<Member | undefined>;
  /** Sends to another instance. False: that instance is not there. */
  publish(instance: string, message: Message): Promise<boolean>;
  /** Removes every peer with such a token, wherever it is, and refuses these tokens from then on. Resolves with how many it removed. */
  revoke(revocation: Revocation): Promise<number>;
  /** Removes a peer, wherever it is. False: there is none. */
  kick(room: string, id: string): Promise<boolean>;
  /** Rooms in an order that does not change, after the one that `after` names. With `after` in the answer there are more. */
  list(limit: number, after?: string): Promise<{ rooms: RoomSummary[]; after?: string }>;
  /** The peers of a room. */
  residents(room: string): Promise<Resident[]>;
  close(): Promise<void>;
}
