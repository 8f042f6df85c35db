import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { createVerify } from '../src/auth/verify.ts';

const secret = 'a secret for tests that is long enough';
const limit = 3600;

test('a token lives no longer than the relay allows, counted from its iat or from now, whichever is later', async () => {
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const issuer = 'https://a.example';
  const keys = { kind: 'jwks' as const, jwks: { keys: [{ ...(await exportJWK(publicKey)) }] } };
  const ways = [
    {
      verify: createVerify({ kind: 'secret', secrets: [secret] }, undefined, limit),
      alg: 'HS256',
      key: Buffer.from(secret),
    },
    {
      verify: createVerify(
        { kind: 'issuers', issuers: [{ issuer, audience: 'mcp-rendezvous', keys }] },
        undefined,
        limit,
      ),
      alg: 'ES256',
      key: privateKey,
    },
  ];
  for (const { verify, alg, key } of ways) {
    const verdict = async (exp: number, iat?: number): Promise<string> => {
      const now = Math.floor(Date.now() / 1000);
      const claims = { room: 'r', role: 'client', sub: 's', iss: issuer, aud: 'mcp-rendezvous' };
      const token = await new SignJWT({ ...claims, exp: now + exp, ...(iat === undefined ? {} : { iat: now + iat }) })
        .setProtectedHeader({ alg })
        .sign(key);
      return await verify(token).then(
        () => 'taken',
        (error: { code: string }) => error.code,
      );
    };
    const verdicts = await Promise.all([
      verdict(limit - 5),
      verdict(limit + 30),
      verdict(limit - 5, -86_400),
      verdict(limit + 30, -86_400),
      verdict(limit + 2, 4),
      // From the future: it would outlive what is revoked today.
      verdict(limit + 86_400, 86_400),
      verdict(1e15),
    ]);
    const long = 'token_too_long_lived';
    assert.deepEqual(verdicts, ['taken', long, 'taken', long, 'taken', 'token_not_yet_valid', long], alg);
  }
});
