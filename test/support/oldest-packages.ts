import { registerHooks } from 'node:module';

/**
 * To be loaded first (`node --import`): the packages that the SDK works with are then the oldest
 * supported versions, which are installed under names of their own.
 */
export const oldestPackages: Record<string, string> = {
  '@modelcontextprotocol/sdk': 'mcp-sdk-oldest',
  '@modelcontextprotocol/client': 'mcp-client-oldest',
  '@modelcontextprotocol/server': 'mcp-server-oldest',
  '@opentelemetry/api': 'opentelemetry-api-oldest',
};

registerHooks({
  resolve(specifier, context, next) {
    const name = /^@[^/]+\/[^/]+/.exec(specifier)?.[0] ?? '';
    // What a package needs of another one is what npm has installed for it.
    const inside = context.parentURL?.includes('/node_modules/') ?? false;
    const oldest = inside ? undefined : oldestPackages[name];
    return next(oldest === undefined ? specifier : specifier.replace(name, oldest), context);
  },
});
