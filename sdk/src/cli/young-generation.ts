import { setFlagsFromString } from 'node:v8';

/**
 * What a program allocates while it starts is code and tables, which stay. V8 takes that for a sign
 * that its young generation is too small, and makes it up to 32 MB large, for good. A bridge waits
 * most of the time and needs a fraction of it; so it grows when there is traffic, and not before.
 */
export const keepSmall = (): void => setFlagsFromString('--semi-space-growth-factor=1');

/** V8's default from here on. */
export const letGrow = (): void => setFlagsFromString('--semi-space-growth-factor=2');
