import { closeCodes, isRelayErrorCode, verdictOf } from 'mcp-rendezvous-protocol';

const final: ReadonlySet<string> = new Set(['bad_option', 'secret_mismatch', 'path_untrusted', 'token_revoked']);

/** How a session has ended, or an attempt at one. */
export interface Ended {
  error: Error | undefined;
  /** It had begun. */
  served: boolean;
}

/**
 * Whether trying again would bring the same for ever.
 *
 * @param renewable whether the next attempt may have another token than the one that the relay has
 *   rejected with this code
 */
export function isFinal({ error, served }: Ended, renewable: (code: string) => boolean): boolean {
  const { code = '' } = (error ?? {}) as { code?: string };
  if (final.has(code)) return true;
  // A server that ends a session with this may do so because of a token that has expired since.
  if (code === 'peer_refused') return !served;
  if (!isRelayErrorCode(code)) return false;
  const verdict = verdictOf(closeCodes[code]);
  return verdict === 'give_up' || (verdict === 'new_token' && !renewable(code));
}
