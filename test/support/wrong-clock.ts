import { globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

/** A wall clock that libfaketime shows to processes of a test. Their monotonic clocks are right. */
export class WrongClock {
  /** The environment of a process that goes by it. */
  readonly env: Record<string, string>;
  readonly #file: string;

  /** @param seconds how far it is ahead */
  constructor(t: TestContext, seconds: number) {
    const [library] = globSync('/usr/lib/**/faketime/libfaketime.so.1');
    if (library === undefined) throw new Error('libfaketime is not installed: sh scripts/prerequisites.sh');
    const directory = mkdtempSync(join(tmpdir(), 'clock-'));
    t.after(() => rmSync(directory, { recursive: true }));
    this.#file = join(directory, 'offset');
    this.env = {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      DONT_FAKE_MONOTONIC: '1',
      NO_FAKE_STAT: '1',
    };
    this.set(seconds);
  }

  /** Sets it, also for processes that run. */
  set(seconds: number): void {
    writeFileSync(this.#file, `${seconds < 0 ? '' : '+'}${seconds}`);
  }
}
