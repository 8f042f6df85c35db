import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  type Arbitrary,
  assert as check,
  asyncProperty,
  constantFrom,
  property,
  record,
  string,
  tuple,
  uint8Array,
} from 'fast-check';
import { sampled } from '../../../test/support/full.ts';
import { prove, sessionKey, verify, type Witness } from '../../src/link/proof.ts';
import {
  certificateBinding,
  fields,
  type Introduction,
  relayContext,
  signalingContext,
} from '../../src/link/transcript.ts';

const bytes = uint8Array({ minLength: 32, maxLength: 32 }).map((value) => new Uint8Array(value));
const nonce = bytes.map((value) => Buffer.from(value).toString('base64url'));
/** Short, and of few characters, so that fields which run into each other would be found. */
const text = string({ unit: constantFrom('a', 'b', '\0', 'ö'), maxLength: 3 });
/** Of the usual prototype, or what is equal would not count as such. */
const plain = { noNullPrototype: true } as const;
const party = record({ role: constantFrom('server' as const, 'client' as const), subject: text }, plain);
const introduction: Arbitrary<Introduction> = record(
  {
    room: text,
    issuer: text,
    otherIssuer: text,
    offerer: party,
    answerer: party,
  },
  plain,
);
const context = introduction.map(relayContext);
const binding = tuple(text, text).map(([offerer, answerer]) => certificateBinding(offerer, answerer));
const witness: Arbitrary<Witness> = record(
  {
    offererNonce: nonce,
    answererNonce: nonce,
    session: string({ unit: constantFrom('a', '_'), minLength: 22, maxLength: 64 }),
    context,
    binding,
  },
  plain,
);
const sender = constantFrom('offerer' as const, 'answerer' as const);
const same = (one: unknown, other: unknown): boolean => {
  try {
    assert.deepEqual(one, other);
    return true;
  } catch {
    return false;
  }
};

void suite('the proof', () => {
  test('holds for what it was made of, and for nothing of which any field is another', async () => {
    await check(
      asyncProperty(bytes, sender, witness, witness, async (key, who, one, other) => {
        const proof = new Uint8Array(await prove(key, who, one));
        assert.ok(await verify(key, who, one, proof));
        assert.ok(!(await verify(key, who === 'offerer' ? 'answerer' : 'offerer', one, proof)));
        for (const field of Object.keys(one) as (keyof Witness)[]) {
          const changed = { ...one, [field]: other[field] };
          assert.equal(await verify(key, who, changed, proof), same(one, changed), field);
        }
        assert.equal(
          await verify(
            key.map((byte) => byte ^ 1),
            who,
            one,
            proof,
          ),
          false,
        );
      }),
      { numRuns: sampled(300) },
    );
  });

  test('no two introductions, channels or pairs of certificates have the same bytes', () => {
    const kind = constantFrom(0, 1, 2);
    const value = tuple(kind, introduction, text, text);
    const encode = ([which, met, one, other]: [number, Introduction, string, string]) =>
      [() => relayContext(met), () => signalingContext(one), () => certificateBinding(one, other)][which]!();
    const named = ([which, met, one, other]: [number, Introduction, string, string]) => [
      which,
      which === 0 ? met : which === 1 ? one : [one, other],
    ];
    check(
      property(value, value, (left, right) => {
        assert.equal(same(encode(left), encode(right)), same(named(left), named(right)));
      }),
      { numRuns: sampled(2_000) },
    );
    // Each part of an introduction by itself, and between any two parts.
    const parts = ({ room, issuer, otherIssuer, offerer, answerer }: Introduction) => [
      room,
      issuer,
      otherIssuer,
      offerer.role,
      offerer.subject,
      answerer.role,
      answerer.subject,
    ];
    check(property(introduction, (met) => assert.deepEqual(relayContext(met), fields('relay', ...parts(met)))));
  });

  test('two sides of one introduction come to the same, if their issuers are the same', () => {
    check(
      property(introduction, (met) => {
        const mirrored = { ...met, issuer: met.otherIssuer, otherIssuer: met.issuer };
        assert.equal(same(relayContext(met), relayContext(mirrored)), met.issuer === met.otherIssuer);
      }),
    );
  });

  test('the key of a session is that of its nonces and its secret', async () => {
    await check(
      asyncProperty(witness, witness, bytes, bytes, async (one, other, secret, otherSecret) => {
        const proof = async (nonces: Witness, own: Uint8Array | undefined) =>
          await prove(await sessionKey(nonces, own), 'offerer', one);
        const made = await proof(one, secret);
        assert.deepEqual(await proof(one, secret), made);
        assert.notDeepEqual(await proof(one, undefined), made);
        assert.equal(same(await proof(one, otherSecret), made), same(secret, otherSecret));
        for (const name of ['offererNonce', 'answererNonce'] as const) {
          const changed = { ...one, [name]: other[name] };
          assert.equal(same(await proof(changed, secret), made), same(changed, one));
        }
      }),
    );
  });
});
