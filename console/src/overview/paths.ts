/** The paths of sessions, from the best one on. */
export const pathNames = { direct: 'Direct', turn: 'TURN', relayed: 'Relayed' } as const;
export type Path = keyof typeof pathNames;
export const paths: readonly Path[] = ['direct', 'turn', 'relayed'];

/** A peer, as far as its path needs to be known. */
interface Located {
  role: string;
  path?: Path;
  relayedAt?: number;
}

/** A peer on the relayed path says something every 3 s, of which the relay tells a little later. */
const relayedSeconds = 30;

/** `Direct × 2, Relayed`: what there is of each path. */
export const mixOf = (countOf: (path: Path) => number): string =>
  paths
    .flatMap((path) => {
      const count = countOf(path);
      return count === 0 ? [] : [`${pathNames[path]}${count > 1 ? ` × ${count}` : ''}`];
    })
    .join(', ');

/**
 * Over what the peer's sessions go, as far as the relay knows: a client reports its path, a
 * server's sessions are those of its clients.
 */
export function pathOf(peer: Located, peers: readonly Located[]): string {
  const clients = peer.role === 'server' ? peers.filter(({ role }) => role === 'client') : [peer];
  const reported = mixOf((path) => clients.filter((client) => client.path === path).length);
  if (reported !== '') return reported;
  // Clients of earlier versions report nothing, but the relay sees data that it relays.
  const { relayedAt = 0 } = peer;
  return Date.now() / 1000 - relayedAt < relayedSeconds ? pathNames.relayed : 'not known';
}
