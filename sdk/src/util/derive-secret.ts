import { deriveSecret as derive } from 'mcp-rendezvous-protocol';
import { hkdfSha256 } from './digest.ts';

/**
 * The end-to-end secret of one invitation: HKDF-SHA-256 of the room's root and the `jti` of the
 * token. The server's end, which keeps the root, derives it for each client, so that no invited
 * client can stand between others. Works in every page, also where there is no Web Crypto.
 *
 * @param root a secret of `createSecret()` that never leaves the server's end
 * @throws RendezvousError `bad_option`, without the root
 * @example
 * await listen({ relay, token, secret: ({ claims }) => deriveSecret(root, claims.jti) }, serve);
 */
export const deriveSecret = async (root: string, jti: string | undefined): Promise<string> =>
  await derive(root, jti, hkdfSha256);
