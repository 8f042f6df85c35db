import type { CacheHint } from './types.ts';

/** How long a result stays fresh, and for whom, as far as its server says so. */
export function cacheHint(result: Record<string, unknown>): CacheHint | undefined {
  const { ttlMs, cacheScope } = result;
  if (typeof ttlMs !== 'number' || !(ttlMs >= 0)) return undefined;
  return { ttlMs, scope: cacheScope === 'public' ? 'public' : 'private' };
}
