import { closeCodes, isRelayErrorCode, verdictOf } from 'mcp-rendezvous-protocol';

const final: ReadonlySet<string> = new Set(['bad_option', 'secret_mismatch', 'path_untrusted', 'token_revoked']);

/**
 * Whether trying again would bring the same for ever.
 *
 * @param renewable there may be another token the next time
 */
export function isFinal(error: unknown, renewable: boolean): boolean {
  const { code = '' } = error as { code?: string };
  if (final.has(code)) return true;
  if (!isRelayErrorCode(code)) return false;
  const verdict = verdictOf(closeCodes[code]);
  return verdict === 'give_up' || (verdict === 'new_token' && !renewable);
}
