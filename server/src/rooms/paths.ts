import type { PeerClaims } from 'mcp-rendezvous-protocol';

/** Whether a peer's data may go over a path, as far as its token says: PROTOCOL.md §2. */
export const mayUse = ({ paths }: PeerClaims, path: 'turn' | 'relayed'): boolean =>
  paths === undefined || paths.includes(path);
