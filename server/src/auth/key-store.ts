import { unwatchFile, watchFile } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { claimedIssuer, createVerify, RemoteKeys, type Verify, type VerifyPatiently } from './verify.ts';
import type { Config } from '../config/config.ts';
import { RelayError } from '../errors.ts';
import type { Keys, KeysFile } from './key-config.ts';
import type { Logger } from '../log.ts';

/**
 * How often the file is looked at, in milliseconds. Its stat is polled, because a mounted secret
 * changes by a symbolic link above it, which no watch of the file reports.
 */
const lookEveryMs = 2000;
/**
 * How long a fresh token waits for keys, and how often they are requested, in milliseconds. The
 * longest cooldown of a JWKS, and its load, are over by then.
 */
const patienceMs = 40_000;
const askEveryMs = 1000;

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
  readonly #remote: RemoteKeys;
  #keys: Keys;
  #verify: Verify;
  #outdated = false;

  /** @param onjwksfailure called for each time that an issuer's JWKS cannot be loaded */
  constructor(
    config: Pick<Config, 'keys' | 'keysFile' | 'maxTokenLifetimeSeconds'>,
    log: Logger,
    onjwksfailure: (issuer: string) => void = () => {},
  ) {
    const { keys, keysFile, maxTokenLifetimeSeconds } = config;
    this.#remote = new RemoteKeys({
      failed({ usableForMs, ...load }) {
        onjwksfailure(load.issuer);
        const until = new Date(Date.now() + usableForMs).toISOString();
        if (usableForMs > 0) {
          log.warn(
            { ...load, until },
            "An issuer's keys cannot be loaded; those before count until then. See to its jwksUrl.",
          );
        } else {
          log.error(load, "An issuer's keys cannot be loaded, and its tokens are unavailable. See to its jwksUrl.");
        }
      },
      recovered: (load) => log.info(load, "an issuer's keys were loaded again"),
    });
    this.maxTokenLifetimeSeconds = maxTokenLifetimeSeconds;
    this.#keys = keys;
    this.#verify = this.#verifier();
    this.#file = keysFile;
    this.#log = log;
  }

  get keys(): Keys {
    return this.#keys;
  }

  get outdated(): boolean {
    return this.#outdated;
  }

  /**
   * Verifies a token with the current keys.
   *
   * @param until the peer has another token until then, in milliseconds since the epoch, so that
   *   this one waits for a while for keys that cannot be had at once
   */
  readonly verify: VerifyPatiently = async (token, until = 0) => {
    const deadline = Math.min(until, Date.now() + patienceMs);
    while (true) {
      try {
        return await this.#verify(token);
      } catch (error) {
        if (!(error instanceof RelayError)) throw error;
        if (error.code !== 'unavailable' || Date.now() + askEveryMs >= deadline) throw this.#explained(token, error);
        await sleep(askEveryMs, undefined, { ref: false });
      }
    }
  };

  start(): void {
    if (this.#file) watchFile(this.#file.path, { interval: lookEveryMs, persistent: false }, this.#load);
  }

  close(): void {
    if (this.#file) unwatchFile(this.#file.path, this.#load);
  }

  /** What a peer is told is in PROTOCOL.md §5; the operator is told why, and of which issuer. */
  #explained(token: string, { code, cause }: RelayError): RelayError {
    const issuer = this.#issuerOf(token);
    const reason = cause instanceof Error ? cause.message : undefined;
    return new RelayError(code, { cause, whose: { ...(issuer && { issuer }), ...(reason && { reason }) } });
  }

  #issuerOf(token: string): string | undefined {
    if (this.#keys.kind !== 'issuers') return undefined;
    try {
      const named = claimedIssuer(token);
      return this.#keys.issuers.find(({ issuer }) => issuer === named)?.issuer;
    } catch {
      return undefined;
    }
  }

  #verifier(): Verify {
    return createVerify(this.#keys, this.#remote, this.maxTokenLifetimeSeconds);
  }

  readonly #load = (): void => {
    const problems: string[] = [];
    const keys = this.#file?.read(problems);
    this.#outdated = keys === undefined;
    if (keys === undefined) {
      this.#log.error(
        { problems },
        'the new keys are invalid, so the previous keys stay in force. Correct the file; the relay reads it again.',
      );
      return;
    }
    this.#keys = keys;
    this.#verify = this.#verifier();
    this.#log.info('the keys have changed');
  };
}
