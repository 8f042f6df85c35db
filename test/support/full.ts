/**
 * Suites whose cases are many alike run a sample of them by default, and all of them in `npm run
 * test:all -- --full`.
 */
export const full = process.env['FULL_TESTS'] === '1';

/** How many of so many cases run. */
export const sampled = (all: number): number => (full ? all : Math.ceil(all / 4));
