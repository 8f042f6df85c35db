import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { array, assert as check, constantFrom, nat, property, string, uint8Array } from 'fast-check';
import { createSecret as createForBackends } from 'mcp-rendezvous-protocol/token';
import { createSecret, listen, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { sampled } from '../../test/support/full.ts';
import { formatSecret, secretKeyBytes } from '../../protocol/src/secret.ts';

const key = uint8Array({ minLength: 32, maxLength: 32 }).filter((bytes) => new Set(bytes).size >= 8);
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ é';
const place = nat(53);

void suite('a secret', () => {
  test('is made of 32 random bytes, is never the same twice, and is read back', () => {
    const made = Array.from({ length: 200 }, () => createSecret());
    assert.equal(new Set(made).size, made.length);
    for (const secret of made) {
      assert.match(secret, /^mcps1[\w-]{49}$/);
      assert.equal(secretKeyBytes(secret)?.length, 32);
    }
    assert.equal(createForBackends, createSecret);
  });

  test('carries the bytes that it was made of', () => {
    check(property(key, (bytes) => assert.deepEqual(secretKeyBytes(formatSecret(bytes)), bytes)));
  });

  test('with a character that is wrong, missing, doubled or swapped with its neighbour is none', () => {
    const changes = [
      (secret: string, at: number, character: string) => secret.slice(0, at) + character + secret.slice(at + 1),
      (secret: string, at: number) => secret.slice(0, at) + secret.slice(at + 1),
      (secret: string, at: number, character: string) => secret.slice(0, at) + character + secret.slice(at),
      (secret: string, at: number) =>
        secret.slice(0, at) + secret.slice(at + 1, at + 2) + secret.slice(at, at + 1) + secret.slice(at + 2),
      (secret: string, at: number) => secret.slice(0, at),
      (secret: string) => ` ${secret}`,
      (secret: string) => `${secret}\n`,
      (secret: string) => `${secret}=`,
      (secret: string) => secret.toUpperCase(),
      (secret: string) => secret.toLowerCase(),
    ];
    const character = constantFrom(...alphabet.split(''));
    check(
      property(key, place, character, constantFrom(...changes), (bytes, at, other, change) => {
        const secret = formatSecret(bytes);
        const changed = change(secret, at, other);
        if (changed !== secret) assert.equal(secretKeyBytes(changed), undefined);
      }),
      { numRuns: sampled(3_000) },
    );
  });

  test('is nothing that a person thought up, and no key that nobody drew at random', () => {
    check(property(string(), (text) => assert.equal(secretKeyBytes(text), undefined)));
    check(property(string(), (text) => assert.equal(secretKeyBytes(`mcps1${text}`), undefined)));
    const poor = uint8Array({ minLength: 1, maxLength: 7 }).chain((few) =>
      array(constantFrom(...few), { minLength: 32, maxLength: 32 }).map((bytes) => Uint8Array.from(bytes)),
    );
    check(property(poor, (bytes) => assert.equal(secretKeyBytes(formatSecret(bytes)), undefined)));
    assert.equal(secretKeyBytes(formatSecret(new Uint8Array(32))), undefined);
  });

  const refused = {
    name: 'RendezvousError',
    code: 'bad_option',
    message: /createSecret\(\).*mcp-rendezvous secret/,
  };
  for (const [what, secret] of [
    ['a passphrase', 'correct horse battery staple 42'],
    ['what openssl rand -base64 32 prints', 'Dq3b0mXk2nV8sJ4yLwZrAhTq3b0mXk2nV8sJ4yLwZrA='],
    ['nothing', ''],
    ['zeros', formatSecret(new Uint8Array(32))],
    ['a number', 7 as unknown as string],
    ['one that was cut short', createSecret().slice(0, -1)],
  ] as const) {
    test(`${what} is refused where it is given`, async () => {
      const options = { relay: 'ws://127.0.0.1:9', token: 'a.b.c', secret };
      const withoutIt = (error: Error) => {
        assert.throws(() => {
          throw error;
        }, refused);
        if (secret) assert.ok(!error.message.includes(secret));
        return true;
      };
      assert.throws(() => new WebRTCClientTransport(options), withoutIt);
      assert.throws(() => new WebRTCServerTransport(options), withoutIt);
      await assert.rejects(
        listen(options, () => {}),
        withoutIt,
      );
    });
  }
});
