import { decodeJwt, decodeProtectedHeader, type JWTPayload } from 'jose';
import type { Role } from 'mcp-rendezvous-protocol';
import { defaultAudience, roomClaims } from 'mcp-rendezvous-protocol/token';
import { CliError } from '../cli-error.ts';
import { type Finding, type Report, span } from './finding.ts';

/** What the token says of itself; the relay verifies it. */
export interface TokenView {
  token: () => string;
  role: Role;
  room: string;
}

/** PROTOCOL.md §2. */
const algorithms = ['HS256', 'ES256', 'RS256', 'EdDSA'];
const allowedSkewSeconds = 5;
/** Less is over before somebody has read this. */
const soonSeconds = 60;
const another = 'Ask your backend for another one, or make one: mcp-rendezvous token --help';

/**
 * Form, claims and times of the token. Resolves with undefined when it is not worth showing to the relay.
 *
 * @param read hands out the token, or throws CliError
 * @param skewMs how far the relay's clock is ahead
 */
export function checkToken(read: () => string, skewMs: number, report: Report): TokenView | undefined {
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
  const { data: claims, error } = roomClaims.safeParse(payload);
  if (!claims) {
    const names = [...new Set(error.issues.map(({ path }) => String(path[0])))].join(', ');
    const seen = `claims are missing or malformed: ${names}`;
    report({ check, status: 'fail', code: 'token_invalid', seen, advice: another });
    return undefined;
  }
  const { role, room, sub } = claims;
  report(formOf(`role ${role} in room ${JSON.stringify(room)} as ${JSON.stringify(sub)}`, payload, algorithm));
  report(timeOf(claims.exp, payload.nbf, (Date.now() + skewMs) / 1000));
  return { token: read, role, room };
}

function formOf(seen: string, { aud }: JWTPayload, algorithm: string | undefined): Finding {
  const check = 'token';
  if (algorithm === undefined || !algorithms.includes(algorithm)) {
    const advice = `A relay takes ${algorithms.join(', ')}.`;
    return {
      check,
      status: 'fail',
      code: 'token_invalid',
      seen: `${seen}; its algorithm is not one of a relay's`,
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
    advice: `That must be "${defaultAudience}", unless the relay is configured with another one.`,
  };
}

/** @param now by the relay's clock, in seconds since the epoch */
function timeOf(exp: number, nbf: number | undefined, now: number): Finding {
  const check = 'token.time';
  if (exp <= now) {
    const seen = `it has expired ${span(now - exp)} ago`;
    return { check, status: 'fail', code: 'token_expired', seen, advice: another };
  }
  if (nbf !== undefined && nbf > now + allowedSkewSeconds) {
    const advice = 'Wait, or set the clock of the machine that makes the tokens.';
    return { check, status: 'fail', code: 'token_not_yet_valid', seen: `it is valid in ${span(nbf - now)}`, advice };
  }
  const seen = `it is valid for ${span(exp - now)}`;
  if (exp - now > soonSeconds) return { check, status: 'ok', seen };
  const advice = 'Peers need a fresh one before it ends, or the relay closes their connection.';
  return { check, status: 'warn', code: 'token_expiring', seen, advice };
}
