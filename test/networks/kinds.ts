import type { Path } from 'mcp-rendezvous';

/** Kinds of networks that a peer may be in, from the easiest to the hardest. */
export const kinds = ['open', 'cone', 'symmetric', 'no UDP', 'web only', 'proxy only'] as const;
export type Kind = (typeof kinds)[number];

/** Whether its hosts can send UDP at all. */
export const hasUdp = (kind: Kind): boolean => kind === 'open' || kind === 'cone' || kind === 'symmetric';

const fromInside = 'iifname "lan"';
/** Which packets of the hosts leave the network. What belongs to them comes back. */
const leaving: Record<Kind, string> = {
  open: 'accept',
  cone: `${fromInside} accept`,
  symmetric: `${fromInside} accept`,
  'no UDP': `${fromInside} meta l4proto tcp accept`,
  'web only': `${fromInside} tcp dport { 80, 443 } accept`,
  'proxy only': 'drop',
};

const translation: Record<Kind, string> = {
  open: '',
  cone: 'oifname "wan" masquerade',
  // A mapping of its own, on another port, for each destination.
  symmetric: 'oifname "wan" masquerade fully-random',
  'no UDP': 'oifname "wan" masquerade',
  'web only': 'oifname "wan" masquerade',
  'proxy only': 'oifname "wan" masquerade',
};

/**
 * The router's rules, for `nft`. A packet from outside that nobody inside has asked for is dropped
 * without an answer: a rejected one would leave a connection tracking entry, and the router would
 * map the connection of the host inside to another port.
 */
export const rulesOf = (kind: Kind): string => `
table ip router {
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iifname { "lo", "lan" } accept
  }
  chain blocked {
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    jump blocked
    ct state established,related accept
    ${leaving[kind]}
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ${translation[kind]}
  }
}
`;

/** A rule for a router that lets no UDP pass from now on, of running connections neither. */
export const blockUdp = 'add rule ip router blocked meta l4proto udp drop\n';

/** What the relay and its TURN server offer. */
export interface Offered {
  relayed: boolean;
  /** TURN over TLS at port 443, beside the one over UDP and TCP at 3478. */
  turnOverTls: boolean;
}

/** The best path between hosts in two networks; undefined: there is none. */
export function bestPath(one: Kind, other: Kind, { relayed, turnOverTls }: Offered): Path | undefined {
  const both = [one, other];
  // To a host that everybody reaches any translation leads.
  const direct = both.every(hasUdp) && (both.includes('open') || !both.includes('symmetric'));
  if (direct) return 'direct';
  const reachesTurn = (kind: Kind) => kind !== 'proxy only' && (kind !== 'web only' || turnOverTls);
  if (both.every(reachesTurn)) return 'turn';
  return relayed ? 'relayed' : undefined;
}
