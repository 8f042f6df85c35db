import { clientInfo, modernCapabilities } from './capabilities.ts';

export const modernVersion = '2026-07-28';

/** A key of `_meta` that the specification reserves. */
export const metaKey = (name: string): string => `io.modelcontextprotocol/${name}`;

/** The `_meta` that each request of 2026-07-28 carries. */
export const envelope = (logLevel?: string): Record<string, unknown> => ({
  [metaKey('protocolVersion')]: modernVersion,
  [metaKey('clientInfo')]: clientInfo,
  [metaKey('clientCapabilities')]: modernCapabilities,
  ...(logLevel !== undefined && { [metaKey('logLevel')]: logLevel }),
});
