import assert from 'node:assert/strict';
import { createHmac, createSecretKey } from 'node:crypto';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { jwtVerify } from 'jose';
import { RelayError } from '../src/errors.ts';
import { checkClaims, verifyHs256 } from '../src/auth/hs256.ts';

const secrets = ['the first secret of this file, long enough', 'the other secret of this file, long enough'] as const;
const keys = secrets.map((secret) => createSecretKey(secret, 'utf8'));
const expected = { audience: 'mcp-rendezvous', issuer: 'https://issuer.example', clockTolerance: 5 };

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value) ?? '').toString('base64url');

function sign(header: unknown, claims: unknown, secret: string): string {
  const signed = `${encode(header)}.${encode(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

function takes(token: string): boolean {
  try {
    checkClaims(verifyHs256(token, keys), expected);
    return true;
  } catch (error) {
    assert.ok(error instanceof RelayError, String(error));
    return false;
  }
}

const joseTakes = async (token: string): Promise<boolean> => {
  const options = { ...expected, algorithms: ['HS256'], requiredClaims: ['exp'] };
  const verdicts = await Promise.allSettled(keys.map((key) => jwtVerify(token, key, options)));
  return verdicts.some(({ status }) => status === 'fulfilled');
};

const odd = fc.oneof(fc.jsonValue(), fc.constant(undefined));
const mostly = (usual: unknown, others: fc.Arbitrary<unknown>) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: others });
const seconds = () => fc.integer({ min: -9, max: 9 }).map((offset) => Math.floor(Date.now() / 1000) + offset * 1000);

const header = fc.record({
  alg: mostly('HS256', fc.oneof(fc.constantFrom('none', 'HS384', 'RS256', 'hs256'), odd)),
  typ: odd,
  kid: odd,
  crit: mostly(undefined, odd),
});
const claims = fc.record({
  aud: mostly(expected.audience, fc.oneof(odd, fc.array(fc.constantFrom(expected.audience, 'another')))),
  iss: mostly(expected.issuer, odd),
  exp: mostly(Math.floor(Date.now() / 1000) + 3600, fc.oneof(seconds(), odd)),
  nbf: mostly(undefined, fc.oneof(seconds(), odd)),
  iat: mostly(undefined, fc.oneof(seconds(), odd)),
});
const signer = mostly(secrets[1], fc.constantFrom(secrets[0], 'a secret that is not known here, long enough'));

suite('HS256', () => {
  test('takes and refuses the same tokens as jose', async () => {
    let taken = 0;
    await fc.assert(
      fc.asyncProperty(header, mostly(undefined, odd), claims, signer, async (head, other, body, secret) => {
        const token = sign(head, other === undefined ? body : other, String(secret));
        if (takes(token)) taken++;
        assert.equal(takes(token), await joseTakes(token), token);
      }),
      { numRuns: 3000 },
    );
    assert.ok(taken > 300, `${taken} tokens were taken`);
  });

  test('no token with another letter in it is taken', () => {
    const claimed = { aud: expected.audience, iss: expected.issuer, exp: Math.floor(Date.now() / 1000) + 3600 };
    const token = sign({ alg: 'HS256' }, claimed, secrets[0]);
    assert.ok(takes(token));
    for (let place = 0; place < token.length; place++) {
      for (const letter of ['A', 'z', '.', '=', '-', 'ü', '']) {
        const changed = token.slice(0, place) + letter + token.slice(place + 1);
        if (changed !== token) assert.ok(!takes(changed), `${letter} at ${place}`);
      }
    }
    for (const changed of [`${token}=`, `${token}.`, `${token} `, token.slice(0, -1), '', '.', '..', '...']) {
      assert.ok(!takes(changed), changed);
    }
  });
});
