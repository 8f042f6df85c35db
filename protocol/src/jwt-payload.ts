import { fromBase64Url } from './base64url.ts';

/**
 * What a token's payload says, unverified: verifying is the relay's. Undefined for what is not a
 * JWT. A JWT library would be half of what a client loads.
 */
export function jwtPayload(token: string): { [claim: string]: unknown } | undefined {
  try {
    // Nothing around it, such as the JSON in which a backend may have wrapped it. The end of a line
    // behind it is of no account, as it is to the relay.
    const [, part] = /^[\w-]+\.([\w-]+)\.[\w-]+\s*$/.exec(token) ?? [];
    if (part === undefined) return undefined;
    const payload: unknown = JSON.parse(new TextDecoder().decode(fromBase64Url(part)));
    const isObject = typeof payload === 'object' && payload !== null && !Array.isArray(payload);
    return isObject ? (payload as { [claim: string]: unknown }) : undefined;
  } catch {
    return undefined;
  }
}
