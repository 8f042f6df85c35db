import assert from 'node:assert/strict';
import { before, suite, test } from 'node:test';
import * as fc from 'fast-check';
import {
  base64url,
  type CryptoKey,
  decodeProtectedHeader,
  exportJWK,
  exportPKCS8,
  generateKeyPair,
  generateSecret,
  type JWK,
  jwtVerify,
} from 'jose';
import {
  createRoomToken,
  defaultAudience,
  roomClaims,
  type RoomTokenOptions,
  ttlSeconds,
} from 'mcp-rendezvous-protocol/token';
import { sampled } from '../../test/support/full.ts';

const secret = 'correct horse battery staple, thirty-two bytes and more';
const options = { key: secret, room: 'desk', role: 'server', subject: 'desktop-1', ttl: '15m' } as const;

/** A call as JavaScript makes it, where no compiler looks at the options. */
const signWith = (change: Record<string, unknown>): Promise<string> => createRoomToken({ ...options, ...change });

void suite('createRoomToken', () => {
  const pairs: Record<string, { privateKey: CryptoKey; publicKey: CryptoKey }> = {};
  const jwks: Record<string, JWK> = {};
  before(async () => {
    for (const alg of ['ES256', 'RS256', 'EdDSA', 'ES384', 'RS384', 'PS256']) {
      const pair = await generateKeyPair(alg, { extractable: true });
      pairs[alg] = pair;
      jwks[alg] = await exportJWK(pair.privateKey);
    }
  });

  test('takes what a verifier takes: a character is a code point', async () => {
    const lengths = { room: [1, 128], subject: [1, 256], scope: [0, 4096], issuer: [0, 512], id: [1, 256] } as const;
    const character = fc.constantFrom('x', 'ü', '漢', '😀', '👩‍🚀', '\u{10ffff}');
    const cases = fc
      .tuple(fc.constantFrom(...(Object.keys(lengths) as (keyof typeof lengths)[])), character, character)
      .chain(([name, one, other]) => {
        const [least, most] = lengths[name];
        const length = fc.constantFrom(least - 1, least, Math.floor(most / 2) + 1, most - 1, most, most + 1, 2 * most);
        return fc.tuple(fc.constant(name), fc.constant(`${one}${other}`), length);
      });
    const claimOf = { room: 'room', subject: 'sub', scope: 'scope', issuer: 'iss', id: 'jti' } as const;
    await fc.assert(
      fc.asyncProperty(cases, async ([name, pattern, count]) => {
        // Of an emoji that is several code points a part may be left, which is text, too.
        const value = Array.from(pattern.repeat(Math.max(0, count)))
          .slice(0, Math.max(0, count))
          .join('');
        const [least, most] = lengths[name];
        const signed = await signWith({ [name]: value }).catch((error: unknown) => {
          assert.equal((error as { code?: string }).code, 'bad_option');
        });
        const claims = { room: 'desk', role: 'server', sub: 'a', exp: 1, [claimOf[name]]: value };
        const allowed = count <= most && Math.max(0, count) >= least;
        assert.equal(signed !== undefined, allowed, `createRoomToken, ${name} of ${count}`);
        // A `jti` may be longer, and empty, when somebody else signs it.
        const taken = roomClaims.safeParse(claims).success;
        assert.equal(taken, name === 'id' ? count <= 512 : allowed, `roomClaims, ${name} of ${count}`);
      }),
      { numRuns: sampled(300) },
    );
  });

  for (const alg of ['ES256', 'RS256', 'EdDSA']) {
    test(`signs with ${alg}, by CryptoKey and by JWK`, async () => {
      const pair = pairs[alg];
      assert.ok(pair);
      for (const key of [pair.privateKey, jwks[alg], { ...jwks[alg], alg }]) {
        const token = await signWith({ key });
        await jwtVerify(token, pair.publicKey, { algorithms: [alg] });
        assert.equal(decodeProtectedHeader(token).alg, alg);
      }
    });
  }

  test('signs with HS256, by string, bytes, CryptoKey and JWK', async () => {
    const bytes = new TextEncoder().encode(secret);
    const hmac = { name: 'HMAC', hash: 'SHA-256' };
    const cryptoKey = await crypto.subtle.importKey('raw', bytes, hmac, true, ['sign']);
    const jwk = { kty: 'oct', k: base64url.encode(bytes) };
    for (const key of [secret, bytes, cryptoKey, jwk, { ...jwk, alg: 'HS256' }]) {
      const { protectedHeader } = await jwtVerify(await signWith({ key }), bytes, { algorithms: ['HS256'] });
      assert.equal(protectedHeader.alg, 'HS256');
    }
    await jwtVerify(await signWith({ key: 'ü'.repeat(16) }), new TextEncoder().encode('ü'.repeat(16)));
  });

  test('puts in what a room token has, and no more', async () => {
    const earliest = Math.floor(Date.now() / 1000);
    const { payload } = await jwtVerify(await createRoomToken(options), new TextEncoder().encode(secret), {
      audience: defaultAudience,
      requiredClaims: ['exp', 'iat', 'jti'],
    });
    const latest = Math.floor(Date.now() / 1000);
    const { iat = 0, exp, jti, ...rest } = payload;
    assert.deepEqual(rest, { room: 'desk', role: 'server', sub: 'desktop-1', aud: 'mcp-rendezvous' });
    assert.ok(iat >= earliest && iat <= latest);
    assert.equal(exp, iat + 900);
    assert.match(jti ?? '', /^[0-9a-f-]{36}$/);
    assert.equal(roomClaims.parse(payload).room, 'desk');
  });

  test('takes issuer, audience and scope', async () => {
    const token = await signWith({ issuer: 'https://app.example', audience: 'relay.example', scope: 'files:read x' });
    const { payload } = await jwtVerify(token, new TextEncoder().encode(secret), {
      issuer: 'https://app.example',
      audience: 'relay.example',
    });
    assert.equal(payload['scope'], 'files:read x');
  });

  test('names every token differently', async () => {
    const [one, other] = await Promise.all([createRoomToken(options), createRoomToken(options)]);
    assert.notEqual(one, other);
  });

  const wrongOptions: [name: string, value: unknown, message: string][] = [
    ['room', '', 'room must be a string of 1 to 128 characters'],
    ['room', 'r'.repeat(129), 'room must be a string of 1 to 128 characters'],
    ['room', undefined, 'room must be a string of 1 to 128 characters'],
    ['subject', '', 'subject must be a string of 1 to 256 characters'],
    ['subject', 's'.repeat(257), 'subject must be a string of 1 to 256 characters'],
    ['subject', 7, 'subject must be a string of 1 to 256 characters'],
    ['role', 'admin', "role must be 'server' or 'client'"],
    ['scope', ['files:read'], 'scope must be a string of space-separated scopes'],
    ['ttl', 0, "ttl must be a positive number of seconds or a duration such as '90s', '15m', '1h' or '7d'"],
    ['ttl', undefined, "ttl must be a positive number of seconds or a duration such as '90s', '15m', '1h' or '7d'"],
  ];
  for (const [name, value, message] of wrongOptions) {
    test(`refuses ${name} ${JSON.stringify(value)?.slice(0, 20)}`, async () => {
      await assert.rejects(signWith({ [name]: value }), { code: 'bad_option', message });
    });
  }

  test('whatever a key or an option is, it signs or is refused with bad_option', async () => {
    const curve = { name: 'ECDSA', namedCurve: 'P-256' };
    const ec = await crypto.subtle.generateKey(curve, true, ['sign', 'verify']);
    const jwk = await crypto.subtle.exportKey('jwk', ec.privateKey);
    const rsa = { name: 'RSASSA-PKCS1-v1_5', publicExponent: Uint8Array.of(1, 0, 1), hash: 'SHA-256' };
    const keys: unknown[] = [
      { kty: 'EC', crv: 'P-256', d: 'xx' },
      { ...jwk, d: jwk.d?.slice(2) },
      { ...jwk, key_ops: ['verify'] },
      { kty: 'oct', k: '%'.repeat(90) },
      { kty: 'oct', k: 5 },
      { kty: 'oct', k: 'A'.repeat(43), use: 'enc' },
      { kty: 'RSA', d: 'AA' },
      { kty: 'OKP', crv: 'Ed25519', d: 'AA', x: 'AA' },
      { algorithm: undefined },
      { algorithm: curve, type: 'private' },
      await crypto.subtle.generateKey({ name: 'HMAC', hash: 'SHA-256' }, true, ['verify']),
      (await crypto.subtle.generateKey({ ...rsa, modulusLength: 1024 }, true, ['sign', 'verify'])).privateKey,
      null,
      [1],
    ];
    for (const [n, key] of keys.entries()) {
      await assert.rejects(signWith({ key }), { name: 'RendezvousError', code: 'bad_option' }, String(n));
    }
    for (const wrong of [{ audience: 5 }, { audience: ['relay'] }, { issuer: 7 }, { id: {} }]) {
      const refused = { name: 'RendezvousError', code: 'bad_option' };
      await assert.rejects(signWith(wrong), refused, JSON.stringify(wrong));
    }
    // A caller in JavaScript may pass nothing.
    const nothing = undefined as unknown as RoomTokenOptions;
    await assert.rejects(createRoomToken(nothing), { name: 'RendezvousError', code: 'bad_option' });
  });

  test('refuses keys that are too short', async () => {
    const message = 'key is too short: an HS256 secret needs at least 32 bytes (RFC 7518 §3.2)';
    const bytes = new Uint8Array(31);
    const short = await crypto.subtle.importKey('raw', bytes, { name: 'HMAC', hash: 'SHA-256' }, true, ['sign']);
    for (const key of ['', 'k'.repeat(31), bytes, { kty: 'oct', k: base64url.encode(bytes) }, { kty: 'oct' }, short]) {
      await assert.rejects(signWith({ key }), { code: 'bad_option', message });
    }
  });

  test('refuses keys that are not there', async () => {
    const message = 'key is missing: give an HS256 secret (a string or bytes), a private CryptoKey or a private JWK';
    for (const key of [undefined, null, 5, {}]) {
      await assert.rejects(signWith({ key }), { code: 'bad_option', message });
    }
  });

  test('refuses keys of other algorithms, by CryptoKey and by JWK', async () => {
    const take = ', which is not supported: use HMAC or RSASSA-PKCS1-v1_5 with SHA-256, ECDSA P-256 or Ed25519';
    const kinds: [key: unknown, kind: string][] = [
      [pairs['ES384']?.privateKey, 'ECDSA P-384'],
      [pairs['RS384']?.privateKey, 'RSASSA-PKCS1-v1_5 SHA-384'],
      [pairs['PS256']?.privateKey, 'RSA-PSS SHA-256'],
      [await generateSecret('HS512'), 'HMAC SHA-512'],
    ];
    for (const [key, kind] of kinds) {
      await assert.rejects(signWith({ key }), { code: 'bad_option', message: `key is a CryptoKey for ${kind}${take}` });
    }
    await assert.rejects(signWith({ key: jwks['ES384'] }), {
      message: 'key is a JWK of an unsupported type: use oct, RSA, EC P-256 or OKP Ed25519',
    });
    for (const alg of ['PS256', 'RS512', 'HS256', 'none']) {
      await assert.rejects(signWith({ key: { ...jwks['RS256'], alg } }), {
        message: 'key is a JWK with an "alg" other than RS256, which room tokens require for this key type',
      });
    }
  });

  test('refuses public keys', async () => {
    const publicKey = pairs['ES256']?.publicKey;
    assert.ok(publicKey);
    await assert.rejects(signWith({ key: publicKey }), {
      message: 'key is a public CryptoKey: pass the private key, which signs tokens',
    });
    await assert.rejects(signWith({ key: await exportJWK(publicKey) }), {
      message: 'key is a public JWK: pass the private key, which signs tokens',
    });
  });

  test('refuses PEM text, which would be an HS256 secret otherwise', async () => {
    const pair = pairs['RS256'];
    assert.ok(pair);
    await assert.rejects(signWith({ key: await exportPKCS8(pair.privateKey) }), {
      message: 'key is PEM text, not a secret: import it first, for example with importPKCS8 from jose',
    });
  });

  test('never has the key in a message', async () => {
    const { d = '' } = jwks['RS256'] ?? {};
    const marker = 'kkkkkkkkkkkkkkkkkkkk';
    const failures = [
      signWith({ key: marker }),
      signWith({ key: { kty: 'oct', k: marker } }),
      signWith({ key: { kty: 'oct', k: `${marker}*` } }),
      signWith({ key: { ...jwks['RS256'], alg: 'PS256' } }),
      signWith({ key: { ...jwks['RS256'], n: d } }),
      signWith({ key: { kty: 'EC', crv: 'P-256', d: marker, x: marker, y: marker } }),
      signWith({ key: marker.repeat(2), ttl: 'soon' }),
    ];
    for (const failure of failures) {
      const error: unknown = await failure.then(
        () => assert.fail('was signed'),
        (thrown: unknown) => thrown,
      );
      assert.ok(error instanceof Error);
      const said = `${error.message} ${error.stack} ${JSON.stringify(error)}`;
      assert.ok(!said.includes(marker) && !said.includes(d), error.name);
    }
  });
});

void suite('ttlSeconds', () => {
  test('takes seconds and units', () => {
    assert.deepEqual([90, '90', '90s', '15m', '1h', '7d'].map(ttlSeconds), [90, 90, 90, 900, 3600, 604_800]);
  });

  test('refuses everything else', () => {
    for (const ttl of [
      0,
      -1,
      1.5,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      '',
      '0h',
      '-1h',
      '1w',
      '1 h',
      '1h30m',
      '1e3',
    ]) {
      assert.throws(() => ttlSeconds(ttl), { code: 'bad_option' }, String(ttl));
    }
  });
});
