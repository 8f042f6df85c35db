import type { Keys } from './key-config.ts';

/** What signs room tokens of an issuer, and the claims that say so. */
export interface Signer {
  key: string;
  issuer?: string;
  audience?: string;
}

/**
 * What signs tokens of an issuer at this relay. Undefined: it has public keys only, or does not
 * know the issuer.
 */
export function signerFor(keys: Keys, from: string): Signer | undefined {
  if (keys.kind !== 'issuers') return { key: keys.secrets[0], ...(from && { issuer: from }) };
  const entry = keys.issuers.find(({ issuer }) => issuer === from);
  if (entry?.keys.kind !== 'secret') return undefined;
  return { key: entry.keys.secrets[0], issuer: entry.issuer, audience: entry.audience };
}

/** The secrets of an issuer at this relay: the one that signs, and those that did before. */
export function secretsFor(keys: Keys, from: string): readonly string[] {
  if (keys.kind !== 'issuers') return keys.secrets;
  const entry = keys.issuers.find(({ issuer }) => issuer === from);
  return entry?.keys.kind === 'secret' ? entry.keys.secrets : [];
}
