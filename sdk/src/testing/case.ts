/** One thing that a contract asks for. Give it to any test runner: `test(name, run)`. */
export interface ContractCase {
  readonly name: string;
  /**
   * Rejects with what is wrong (an `AssertionError`, or an `Error` that says what did not happen in
   * time). Cleans up behind itself.
   */
  readonly run: () => Promise<void>;
}

/** What a case releases at its end, whether it went well or not; the last one first. */
export interface Scope {
  after(release: () => unknown): void;
}

export const contractCase = (name: string, body: (scope: Scope) => Promise<void>): ContractCase => ({
  name,
  async run() {
    const releases: (() => unknown)[] = [];
    try {
      await body({ after: (release) => releases.unshift(release) });
    } finally {
      for (const release of releases) await release();
    }
  },
});

/** The promise's value, or a failure that names what did not happen in time. */
export async function within<T>(promise: Promise<T>, what: string, ms: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * A few turns of the event loop: what was wrongly on its way has come by then, where nothing can be
 * waited for.
 */
export async function turns(): Promise<void> {
  for (let n = 0; n < 10; n++) await new Promise<void>((resolve) => setImmediate(resolve));
}
