const directory = process.env['NODE_COMPILE_CACHE'];

/**
 * For the environment of a program that runs from its sources: where Node keeps what is left of
 * them without types, compiled, if the runner has such a place. It spares half of a start.
 */
export const compileCache: Record<string, string> = directory === undefined ? {} : { NODE_COMPILE_CACHE: directory };
