import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { platformPrimitives as browser } from '../../src/relayed/primitives.browser.ts';
import { platformPrimitives as node } from '../../src/relayed/primitives.node.ts';

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const seed = 8;

test(`the primitives of Node and those of pages are the same functions (seed ${seed})`, () => {
  fc.assert(
    fc.property(
      fc.record({ key: bytes(32), other: bytes(32), nonce: bytes(12), associated: fc.uint8Array() }),
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom(64, 96),
      ({ key, other, nonce, associated }, data, length) => {
        assert.deepEqual(node.sha256(data), browser.sha256(data));
        assert.deepEqual(node.hkdf(data, key, length), browser.hkdf(data, key, length));
        const sealed = node.seal(key, nonce, associated, data);
        assert.deepEqual(sealed, browser.seal(key, nonce, associated, data));
        for (const each of [node, browser]) assert.deepEqual(each.open(key, nonce, associated, sealed), data);
        assert.throws(() => node.open(other, nonce, associated, sealed));
        const publicKey = node.publicKey(key);
        assert.deepEqual(publicKey, browser.publicKey(key));
        const shared = node.sharedSecret(other, publicKey);
        assert.deepEqual(shared, browser.sharedSecret(other, publicKey));
        assert.deepEqual(shared, node.sharedSecret(key, node.publicKey(other)));
      },
    ),
    { numRuns: 50, seed },
  );
});

// The points of small order of Curve25519, and some that are not reduced (RFC 7748 §6.1).
const smallOrder = [
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
];
test('public keys of small order are refused', () => {
  for (const hex of smallOrder) {
    const point = new Uint8Array(Buffer.from(hex, 'hex'));
    for (const each of [node, browser]) {
      assert.throws(() => each.sharedSecret(each.randomSecretKey(), point), Error, hex);
    }
  }
});
