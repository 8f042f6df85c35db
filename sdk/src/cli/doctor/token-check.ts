import { decodeJwt, decodeProtectedHeader, type JWTPayload } from 'jose';
import { type ClaimMapping, clockToleranceSeconds, mapClaims, type Role } from 'mcp-rendezvous-protocol';
import { defaultAudience, roomClaims } from 'mcp-rendezvous-protocol/token';
import { CliError } from '../cli-error.ts';
import { type Finding, type Report, span } from './finding.ts';

/** What the token says of itself; the relay verifies it. */
export interface TokenView {
  token: () => string;
  role: Role;
  room: string;
  /** Where the token has its claims, if elsewhere. */
  claims?: ClaimMapping;
}

/** PROTOCOL.md §2. */
const algorithms = ['HS256', 'ES256', 'RS256', 'EdDSA'];
/** A shorter remaining lifetime would end before the report is read. */
const shortSeconds = 60;
const another = 'Request a new one from your backend, or create one: mcp-rendezvous token --help';

/**
 * Form, claims and times of the token. Resolves with undefined when it is not worth showing to the
 * relay.
 *
 * @param read hands out the token, or throws CliError
 * @param options.claims where the token has its claims
 * @param options.soonSeconds one that ends sooner is warned of
 * @param skewMs how far the relay's clock is ahead
 */
export function checkToken(
  read: () => string,
  { claims: mapping, soonSeconds = shortSeconds }: { claims?: ClaimMapping | undefined; soonSeconds?: number },
  skewMs: number,
  report: Report,
): TokenView | undefined {
  const check = 'token';
  let payload: JWTPayload;
  let algorithm: string | undefined;
  try {
    const token = read();
    payload = decodeJwt(token);
    algorithm = decodeProtectedHeader(token).alg;
  } catch (error) {
    report(
      error instanceof CliError
        ? { check, status: 'fail', code: 'no_token', seen: error.message }
        : { check, status: 'fail', code: 'token_invalid', seen: 'it is not a JWT', advice: another },
    );
    return undefined;
  }
  const { data: claims, error } = roomClaims.safeParse(mapClaims(payload, mapping));
  if (!claims) {
    const names = [...new Set(error.issues.map(({ path }) => String(path[0])))].join(', ');
    const seen = `claims are missing or malformed: ${names}`;
    const advice = mapping ? another : `${another}. If the relay maps claims of its issuer, pass its mapping: --claims`;
    report({ check, status: 'fail', code: 'token_invalid', seen, advice });
    return undefined;
  }
  const { role, room, sub } = claims;
  report(formOf(`role ${role} in room ${JSON.stringify(room)} as ${JSON.stringify(sub)}`, payload, algorithm));
  report(timeOf(claims.exp, payload.nbf, (Date.now() + skewMs) / 1000, soonSeconds));
  return { token: read, role, room, ...(mapping && { claims: mapping }) };
}

function formOf(seen: string, { aud }: JWTPayload, algorithm: string | undefined): Finding {
  const check = 'token';
  if (algorithm === undefined || !algorithms.includes(algorithm)) {
    const advice = `Use one of ${algorithms.join(', ')}.`;
    return {
      check,
      status: 'fail',
      code: 'token_invalid',
      seen: `${seen}; relays do not accept its algorithm`,
      advice,
    };
  }
  if ([aud].flat().includes(defaultAudience)) return { check, status: 'ok', seen };
  const audience = aud === undefined ? 'no audience' : `the audience ${JSON.stringify(aud)}`;
  return {
    check,
    status: 'warn',
    code: 'token_wrong_audience',
    seen: `${seen}; it has ${audience}`,
    advice: `Use "${defaultAudience}", unless the relay is configured with another audience.`,
  };
}

/** @param now by the relay's clock, in seconds since the epoch */
function timeOf(exp: number, nbf: number | undefined, now: number, soonSeconds: number): Finding {
  const check = 'token.time';
  if (exp <= now) {
    const seen = `it expired ${span(now - exp)} ago`;
    return { check, status: 'fail', code: 'token_expired', seen, advice: another };
  }
  if (nbf !== undefined && nbf > now + clockToleranceSeconds) {
    const advice = 'Wait, or correct the clock of the machine that issues tokens.';
    return {
      check,
      status: 'fail',
      code: 'token_not_yet_valid',
      seen: `it becomes valid in ${span(nbf - now)}`,
      advice,
    };
  }
  const seen = `it is valid for ${span(exp - now)}`;
  if (exp - now > soonSeconds) return { check, status: 'ok', seen };
  const advice = 'Refresh it in time; the relay closes the connection when it expires.';
  return { check, status: 'warn', code: 'token_expiring', seen, advice };
}
