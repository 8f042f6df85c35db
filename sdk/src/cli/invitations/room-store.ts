import { createHash } from 'node:crypto';
import { existsSync, linkSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createSecret, type Role } from 'mcp-rendezvous-protocol';
import { usage } from '../cli-error.ts';
import { writePrivateFile } from '../install/config-file.ts';

/** Which room of which relay, as this machine knows it. */
export interface RoomPlace {
  /** ws: or wss: */
  relay: string;
  /** Empty for none. */
  issuer: string;
  room: string;
}

export interface MadeInvitation extends RoomPlace {
  id: string;
  role: Role;
  name?: string;
  /** In seconds since the epoch. */
  expiresAt: number;
  /** What signed it: a digest of the key, or the `jti` of the server's token. */
  source: string;
  /** Kept for the one that `expose` prints, so that it prints the same one again. */
  invitation?: string;
  revoked?: boolean;
}

/** Somebody else on this machine wants an invitation from the process that has the room. */
export interface Wish {
  name?: string;
  ttl?: number;
}

/** Whoever has a wish waits for less than this for an answer, in milliseconds. */
const wishMs = 15_000;

export type Fulfilled = { invitation: string; id: string; expiresAt: number } | { problem: string };

/**
 * What this account keeps of a room: the root of its secrets, and the invitations to it. Every file
 * has one writer and is replaced as a whole, so that no process needs to lock out another one; all
 * of them are for this account only.
 */
export class RoomStore {
  readonly place: RoomPlace;
  readonly #folder: string;

  constructor(folder: string, place: RoomPlace) {
    this.place = place;
    const { relay, issuer, room } = place;
    const digest = createHash('sha256')
      .update(JSON.stringify([relay, issuer, room]))
      .digest('hex');
    this.#folder = join(folder, digest.slice(0, 24));
  }

  /** All rooms that have something kept. */
  static all(folder: string): RoomStore[] {
    return namesIn(folder).flatMap((name) => {
      const place = read<RoomPlace>(join(folder, name, 'place.json'));
      return place ? [new RoomStore(folder, place)] : [];
    });
  }

  /** The root of the room's secrets, made when it is asked for first. */
  get root(): string {
    const { root } = kept(join(this.#folder, 'root.json'), () => ({ root: createSecret() }));
    return root;
  }

  /**
   * Makes another root, after somebody else had this one, and revokes all clients' invitations: the
   * secrets in them come from it.
   */
  replaceRoot(): void {
    for (const { id, role } of this.invitations) if (role === 'client') this.revoke(id);
    this.#write('root.json', { root: createSecret() });
  }

  get invitations(): MadeInvitation[] {
    return namesIn(this.#folder)
      .filter((name) => name.startsWith('invitation-') && name.endsWith('.json'))
      .flatMap((name) => read<MadeInvitation>(join(this.#folder, name)) ?? [])
      .map((made) => ({ ...made, ...(this.isRevoked(made.id) && { revoked: true }) }));
  }

  remember(made: MadeInvitation): void {
    // Says whose the folder is, whose name does not.
    this.#write('place.json', this.place);
    this.#write(`invitation-${fileName(made.id)}.json`, made);
  }

  /** From now on the process that has the room lets nobody in with it. */
  revoke(id: string): void {
    this.#write(`revoked-${fileName(id)}`, { id });
  }

  get revoked(): string[] {
    return namesIn(this.#folder)
      .filter((name) => name.startsWith('revoked-'))
      .flatMap((name) => read<{ id: string }>(join(this.#folder, name))?.id ?? []);
  }

  isRevoked(id: string): boolean {
    return existsSync(join(this.#folder, `revoked-${fileName(id)}`));
  }

  /** Leaves a wish. Returns how to hear what became of it, and how to take it back. */
  wish(wish: Wish): { answer: () => Fulfilled | undefined; drop: () => void } {
    const name = crypto.randomUUID();
    this.#write(`wish-${name}.json`, wish);
    const answer = join(this.#folder, `answer-${name}.json`);
    return {
      answer: () => read<Fulfilled>(answer),
      drop: () => {
        rmSync(join(this.#folder, `wish-${name}.json`), { force: true });
        rmSync(answer, { force: true });
      },
    };
  }

  /**
   * Takes the wishes that wait. Those of somebody who has gone, and answers to them, are removed.
   */
  takeWishes(): { wish: Wish; answer: (fulfilled: Fulfilled) => void }[] {
    return namesIn(this.#folder).flatMap((file) => {
      const [, kind, name] = /^(wish|answer)-(.+)\.json$/.exec(file) ?? [];
      if (kind === undefined) return [];
      const path = join(this.#folder, file);
      const isLate = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0) > wishMs;
      const wish = kind === 'wish' ? read<Wish>(path) : undefined;
      if (wish || isLate) rmSync(path, { force: true });
      if (!wish || isLate) return [];
      return [{ wish, answer: (fulfilled) => this.#write(`answer-${name}.json`, fulfilled) }];
    });
  }

  #write(name: string, value: unknown): void {
    writePrivateFile(join(this.#folder, name), `${JSON.stringify(value)}\n`);
  }
}

/**
 * The room of an `expose` that names none: this machine's name, and a suffix that nobody else has,
 * the same each time.
 */
export function ownRoom(folder: string, machine: string): string {
  const make = () => ({
    room: `${machine.split('.')[0] || 'machine'}-${crypto.randomUUID().slice(0, 8)}`.slice(0, 128),
  });
  return kept(join(folder, 'own-room.json'), make).room;
}

/** What is in a file, or is made and written there. */
function kept<T extends object>(path: string, make: () => T): T {
  const before = read<T>(path);
  if (before) return before;
  const copy = `${path}.${crypto.randomUUID()}.tmp`;
  writePrivateFile(copy, `${JSON.stringify(make())}\n`);
  try {
    addWhole(copy, path);
  } catch (error) {
    throw usage(`Cannot write ${JSON.stringify(path)} (${(error as NodeJS.ErrnoException).code}).`);
  } finally {
    rmSync(copy, { force: true });
  }
  // Another process may have been faster.
  const now = read<T>(path);
  if (now) return now;
  throw usage(`The file ${JSON.stringify(path)} is damaged. Restore it from a copy, or remove it.`);
}

/** Gives a complete file its name, unless there is one, so that nobody reads a part of it. */
function addWhole(copy: string, path: string): void {
  try {
    linkSync(copy, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
    // Some file systems have no hard links: there the last of several at once stays.
    renameSync(copy, path);
  }
}

// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- this program's own files
function read<T>(path: string): T | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as T;
  } catch {
    return undefined; // there is none, or it is not whole
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // nothing has been kept yet
  }
}

/** A `jti` may be any text. */
const fileName = (id: string): string =>
  /^[\w.-]{1,64}$/.test(id) ? id : createHash('sha256').update(id).digest('hex');
