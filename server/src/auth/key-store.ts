import { unwatchFile, watchFile } from 'node:fs';
import { createVerify, type RemoteKeys, type Verify } from './verify.ts';
import type { Config } from '../config/config.ts';
import type { Keys, KeysFile } from './key-config.ts';
import type { Logger } from '../log.ts';

/**
 * How often the file is looked at, in milliseconds. Its stat is polled, because a mounted secret
 * changes by a symbolic link above it, which no watch of the file reports.
 */
const lookEveryMs = 2000;

/**
 * The current keys of room tokens. Keys from a file follow it while the relay runs; a file that
 * cannot be used changes nothing. Peers that have joined stay: a token is verified when a peer
 * joins, resumes or refreshes it.
 */
export class KeyStore {
  /** How far ahead a token's end may lie. A revocation lasts as long. */
  readonly maxTokenLifetimeSeconds: number;
  readonly #file: KeysFile | undefined;
  readonly #log: Logger;
  readonly #remote: RemoteKeys = new Map();
  #keys: Keys;
  #verify: Verify;
  #outdated = false;

  constructor(config: Pick<Config, 'keys' | 'keysFile' | 'maxTokenLifetimeSeconds'>, log: Logger) {
    const { keys, keysFile, maxTokenLifetimeSeconds } = config;
    this.maxTokenLifetimeSeconds = maxTokenLifetimeSeconds;
    this.#keys = keys;
    this.#verify = this.#verifier();
    this.#file = keysFile;
    this.#log = log;
  }

  get keys(): Keys {
    return this.#keys;
  }

  /** The file has changed, and cannot be used as it is now. */
  get outdated(): boolean {
    return this.#outdated;
  }

  readonly verify: Verify = (token) => this.#verify(token);

  /** Follows the file, if there is one, until `close`. */
  start(): void {
    if (this.#file) watchFile(this.#file.path, { interval: lookEveryMs, persistent: false }, this.#load);
  }

  close(): void {
    if (this.#file) unwatchFile(this.#file.path, this.#load);
  }

  #verifier(): Verify {
    return createVerify(this.#keys, this.#remote, this.maxTokenLifetimeSeconds);
  }

  readonly #load = (): void => {
    const problems: string[] = [];
    const keys = this.#file?.read(problems);
    this.#outdated = keys === undefined;
    if (keys === undefined) {
      this.#log.error({ problems }, 'the keys have changed and cannot be used: those before stay in force');
      return;
    }
    this.#keys = keys;
    this.#verify = this.#verifier();
    this.#log.info('the keys have changed');
  };
}
