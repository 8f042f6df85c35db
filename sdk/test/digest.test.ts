import assert from 'node:assert/strict';
import { createHash, createHmac, hkdfSync } from 'node:crypto';
import { suite, test, type TestContext } from 'node:test';
import { assert as check, asyncProperty, property, uint8Array } from 'fast-check';
import { createSecret } from '../src/index.ts';
import { deriveSecret } from '../src/token.ts';
import { equalBytes, hkdfSha256, hmacSha256, sha256 } from '../src/util/digest.ts';

const withoutWebCrypto = (t: TestContext) => void t.mock.getter(Crypto.prototype, 'subtle', () => undefined);
const bytes = uint8Array({ minLength: 1, maxLength: 200 }).map((value) => new Uint8Array(value));
const buffer = (value: Uint8Array) => Buffer.from(value);

void suite('digests', () => {
  for (const [where, prepare] of [
    ['with Web Crypto', () => {}],
    ['without Web Crypto', withoutWebCrypto],
  ] as const) {
    test(`are what Node makes them: ${where}`, async (t) => {
      prepare(t);
      await check(
        asyncProperty(bytes, bytes, async (key, data) => {
          assert.deepEqual(buffer(await sha256(data)), createHash('sha256').update(data).digest());
          assert.deepEqual(buffer(await hmacSha256(key, data)), createHmac('sha256', key).update(data).digest());
          assert.deepEqual(buffer(await hkdfSha256(key, data)), Buffer.from(hkdfSync('sha256', key, '', data, 32)));
        }),
        { numRuns: 100 },
      );
    });
  }

  test('an invitation has the same secret with and without Web Crypto', async (t) => {
    const root = createSecret();
    const secret = await deriveSecret(root, 'a');
    withoutWebCrypto(t);
    assert.equal(await deriveSecret(root, 'a'), secret);
    assert.notEqual(await deriveSecret(root, 'b'), secret);
    await assert.rejects(deriveSecret(root, undefined), { code: 'bad_option' });
  });

  test('bytes are equal if all of them are', () => {
    check(
      property(bytes, bytes, (one, other) => {
        assert.equal(equalBytes(one, other), Buffer.compare(one, other) === 0);
        assert.ok(equalBytes(one, one.slice()));
        assert.ok(!equalBytes(one, one.subarray(1)));
        assert.ok(!equalBytes(one.subarray(1), one));
      }),
    );
  });
});
