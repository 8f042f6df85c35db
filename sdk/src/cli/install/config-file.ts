import {
  closeSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, resolve } from 'node:path';
import { usage } from '../cli-error.ts';
import { UnreadableConfig } from './text-edit.ts';

const byteOrderMark = '\ufeff';

export interface ConfigFile {
  /** Where it was asked for. */
  path: string;
  /** Where it is, behind symbolic links. */
  target: string;
  bytes: Buffer | undefined;
  /** Without the byte order mark. */
  text: string;
  /** Of the file that is there. */
  mode: number;
}

export function readConfigFile(path: string): ConfigFile {
  try {
    const target = behindLinks(path);
    const bytes = readBytes(target);
    const mode = bytes ? statSync(target).mode & 0o777 : 0o600;
    return { path, target, bytes, text: decode(bytes), mode };
  } catch (error) {
    throw asUsage(error, 'read', path);
  }
}

/**
 * Replaces the file as a whole, or removes it when `text` is undefined. A link stays one. What was
 * there is kept beside it.
 *
 * @returns false, without a change, if somebody else wrote the file since it was read
 * @throws CliError `bad_option`
 */
export function writeConfigFile(file: ConfigFile, text: string | undefined): boolean {
  const { path, target, bytes, mode } = file;
  try {
    mkdirSync(dirname(target), { recursive: true });
    if (!isSame(readBytes(target), bytes)) return false;
    if (bytes) replace(backupOf(path), bytes, mode);
    if (text === undefined) {
      rmSync(target, { force: true });
      return true;
    }
    const mark = bytes?.toString('utf8').startsWith(byteOrderMark) ? byteOrderMark : '';
    replace(target, Buffer.from(mark + text), mode);
    return true;
  } catch (error) {
    throw asUsage(error, 'write', path);
  }
}

/** Where {@link writeConfigFile} keeps what was in the file before its last change. */
export const backupOf = (path: string): string => `${path}.mcp-rendezvous-backup`;

/** Writes a file that only this user can read, in folders that only this user can list. */
export function writePrivateFile(path: string, text: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    replace(path, Buffer.from(text), 0o600);
  } catch (error) {
    throw asUsage(error, 'write', path);
  }
}

/** Renames a complete copy over the file, so that no reader ever sees a part of it. */
function replace(target: string, bytes: Buffer, mode: number): void {
  const copy = `${target}.${process.pid}.tmp`;
  rmSync(copy, { force: true });
  try {
    const handle = openSync(copy, 'wx', 0o600);
    try {
      writeFileSync(handle, bytes);
      fchmodSync(handle, mode);
      keepOwner(target, handle);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(copy, target);
  } catch (error) {
    rmSync(copy, { force: true });
    throw error;
  }
}

/**
 * A file that root replaces would be root's, and its user could not read it any more. By its
 * handle: under its name the folder's owner may have put a link to something else meanwhile.
 */
function keepOwner(target: string, handle: number): void {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = statSync(target, { throwIfNoEntry: false }) ?? statSync(dirname(target));
  fchownSync(handle, uid, gid);
}

/** Follows links, also to a file that is not there yet. */
function behindLinks(path: string): string {
  let target = path;
  for (let hops = 0; lstatSync(target, { throwIfNoEntry: false })?.isSymbolicLink(); hops++) {
    if (hops === 40) throw new UnreadableConfig('its symbolic links lead in a circle');
    target = resolve(dirname(target), readlinkSync(target));
  }
  return target;
}

function readBytes(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function decode(bytes: Buffer | undefined): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UnreadableConfig('it is not UTF-8');
  }
}

const isSame = (one: Buffer | undefined, other: Buffer | undefined): boolean =>
  one && other ? one.equals(other) : one === other;

function asUsage(error: unknown, verb: 'read' | 'write', path: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  return code === undefined ? error : usage(`Cannot ${verb} ${JSON.stringify(path)} (${code}).`);
}
