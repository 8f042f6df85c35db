/**
 * Loaded into a program before its own code: tells whoever started it what the program waits for,
 * and nothing else changes.
 */
process.on('message', () => process.send?.(process.getActiveResourcesInfo()));
process.channel?.unref();
