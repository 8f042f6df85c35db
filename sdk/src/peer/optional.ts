import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** What an optional package exports, if it is there and its binary runs here; or else why not. */
export interface Optional<T> {
  readonly binding?: T;
  readonly error?: unknown;
}

/**
 * Loads a package that need not be installed. A binary that is broken, or made for another system,
 * is as if it were not.
 */
export function optional<T extends object>(name: string, isIt: (module: Partial<T>) => boolean): () => Optional<T> {
  let loaded: Optional<T> | undefined;
  return () => (loaded ??= load());

  function load(): Optional<T> {
    try {
      const module = require(name) as Partial<T>;
      if (!isIt(module)) throw new TypeError(`The package ${name} lacks an expected export. Check its version.`);
      return { binding: module as T };
    } catch (error) {
      return { error };
    }
  }
}
