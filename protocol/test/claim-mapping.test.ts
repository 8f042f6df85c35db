import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { mapClaims, type ClaimMapping } from 'mcp-rendezvous-protocol';

const names = fc.constantFrom('room', 'role', 'sub');
/** Names as issuers have them, and those that an object has without anybody's doing. */
const claim = fc.oneof(
  fc.string({ minLength: 1 }),
  fc.constantFrom('https://app.example/room', 'a.b', '__proto__', 'constructor', 'toString', 'length', '0'),
);

/** An object with a value at the end of a way. `__proto__` is a name like any other, as in JSON. */
const nest = (way: readonly string[], value: unknown): unknown =>
  JSON.parse(way.reduceRight((inner, name) => `{${JSON.stringify(name)}:${inner}}`, JSON.stringify(value)));

test('what is at the mapped place takes the place of the claim, and nothing else changes', () => {
  fc.assert(
    fc.property(names, fc.array(claim, { minLength: 1, maxLength: 5 }), fc.string(), (name, way, value) => {
      const claims = nest(way, value) as Record<string, unknown>;
      const mapping: ClaimMapping = { [name]: way.length === 1 ? (way[0] ?? '') : way };
      const mapped = mapClaims(claims, mapping);
      assert.equal(mapped[name], value);
      assert.deepEqual({ ...mapped, [name]: null }, { ...claims, [name]: null });
    }),
  );
});

test('what is not there is no claim, whatever objects inherit and whatever else the token says', () => {
  fc.assert(
    fc.property(names, fc.array(claim, { minLength: 1, maxLength: 4 }), fc.json(), (name, way, json) => {
      const claims = { [name]: 'plain', other: JSON.parse(json) as unknown };
      fc.pre(!Object.hasOwn(claims, way[0] ?? ''));
      assert.equal(mapClaims(claims, { [name]: way })[name], undefined);
    }),
  );
});

test('of a list the only value that fits counts, however often it comes', () => {
  const noise = fc.array(fc.constantFrom('admin', 'Server', '', 'offline_access', 1, null, {}));
  fc.assert(
    fc.property(noise, fc.uniqueArray(fc.constantFrom('server', 'client')), fc.nat(3), (others, roles, times) => {
      const list = [...others, ...roles, ...Array.from({ length: times }, () => roles[0] ?? 'none')];
      const expected = roles.length === 1 ? roles[0] : undefined;
      assert.equal(mapClaims({ r: { roles: list } }, { role: ['r', 'roles'] })['role'], expected);
    }),
  );
});

test('without a mapping claims stay as they are', () => {
  const claims = { room: 'r', role: ['server'], sub: 's' };
  assert.deepEqual(mapClaims(claims), claims);
});
