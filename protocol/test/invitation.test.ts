import assert from 'node:assert/strict';
import { hkdfSync } from 'node:crypto';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import {
  createInvitation,
  createRoomToken,
  createSecret,
  deriveSecret,
  type InvitationOptions,
  parseInvitation,
} from 'mcp-rendezvous-protocol/token';
import { formatSecret, secretKeyBytes, toBase64Url } from 'mcp-rendezvous-protocol';
import { sampled } from '../../test/support/full.ts';

const key = 'correct horse battery staple, thirty-two bytes and more';
const relay = 'wss://relay.example';
const secret = createSecret();
const invite = (change: Partial<Record<keyof InvitationOptions, unknown>> = {}): string =>
  createInvitation({ relay, token, secret, name: 'files', ...change } as InvitationOptions);

const token = await createRoomToken({
  key,
  room: 'desk',
  role: 'client',
  subject: 'agent-7',
  ttl: '90d',
  id: 'invitation-1',
});
const bad = (message: RegExp) => ({ name: 'RendezvousError', code: 'bad_option', message });
const encode = (value: unknown): string => `mcpr1${toBase64Url(new TextEncoder().encode(JSON.stringify(value)))}`;

void suite('invitations', () => {
  test('one string has relay, room, token, secret and name', () => {
    const invitation = invite();
    assert.match(invitation, /^mcpr1[\w-]+$/);
    const content: unknown = JSON.parse(Buffer.from(invitation.slice(5), 'base64url').toString());
    assert.deepEqual(content, { relay, room: 'desk', token, secret, name: 'files' });
    const { expiresAt, ...parsed } = parseInvitation(invitation);
    const claims = { role: 'client', subject: 'agent-7', id: 'invitation-1' };
    assert.deepEqual(parsed, { relay, room: 'desk', token, secret, name: 'files', ...claims });
    assert.ok(expiresAt > Date.now() / 1000 + 89 * 86_400);
    assert.equal('name' in parseInvitation(createInvitation({ relay, token, secret })), false);
  });

  test('as a link, and as a terminal or a mail breaks it', () => {
    const invitation = invite();
    const expected = parseInvitation(invitation);
    const lines = invitation.replaceAll(/.{60}/g, '$&\r\n');
    for (const text of [
      `https://relay.example/#${invitation}`,
      `http://127.0.0.1:8787/#${invitation}`,
      ` ${lines}\n`,
    ]) {
      assert.deepEqual(parseInvitation(text), expected);
    }
    for (const text of [`https://relay.example/${invitation}`, 'https://relay.example/#', `file:///x#${invitation}`]) {
      assert.throws(() => parseInvitation(text), bad(/does not begin with mcpr1/));
    }
  });

  test('a beginning or an end of one, or one with other characters, is refused, and nothing of it is quoted', () => {
    const invitation = invite();
    const at = fc.integer({ min: 0, max: invitation.length - 1 });
    const damages = fc.oneof(
      at.map((end) => invitation.slice(0, end)),
      fc
        .tuple(at, fc.constantFrom('=', '+', '/', '.', '%', 'ü', '\0'))
        .map(([n, one]) => invitation.slice(0, n) + one + invitation.slice(n + 1)),
      at.map((n) => invitation.slice(n)).filter((text) => text !== invitation),
      fc.constantFrom(`${invitation}A`, `${invitation}${invitation}`, invitation.toLowerCase(), `${invitation}AAAA`),
      fc.string(),
      fc.json().map((text) => `mcpr1${Buffer.from(text).toString('base64url')}`),
    );
    fc.assert(
      fc.property(damages, (damaged) => {
        assert.throws(
          () => parseInvitation(damaged),
          ({ name, code, message }: { name: string; code: string; message: string }) => {
            assert.equal(name, 'RendezvousError');
            assert.equal(code, 'bad_option');
            assert.ok(!message.includes(token.slice(-20)) && !message.includes(secret.slice(5)));
            return true;
          },
        );
      }),
      { numRuns: sampled(2000) },
    );
  });

  test('a wrong character, or a gap, never gives another secret, and never a token that is not whole', () => {
    const invitation = invite();
    const at = fc.integer({ min: 5, max: invitation.length - 1 });
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const damages = fc.oneof(
      fc.tuple(at, fc.constantFrom(...alphabet.split(''))).map(([n, one]) => [n, n + 1, one] as const),
      fc.tuple(at, at, fc.constantFrom('', 'A')).map(([n, m, one]) => [Math.min(n, m), Math.max(n, m), one] as const),
    );
    fc.assert(
      fc.property(damages, ([from, to, one]) => {
        try {
          const damaged = `${invitation.slice(0, from)}${one}${invitation.slice(to)}`;
          const parsed = parseInvitation(damaged, { now: 0 });
          assert.equal(parsed.secret, secret);
          assert.equal(parsed.room, 'desk');
          assert.equal(parsed.token.split('.').length, 3);
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'bad_option', String(error));
        }
      }),
      { numRuns: sampled(2000) },
    );
  });

  test('each of what is wrong has a message of its own', async () => {
    const content = { relay, room: 'desk', token, secret };
    const whole = invite();
    assert.throws(() => parseInvitation(whole.slice(0, -9)), bad(/incomplete or damaged: copy all of it/));
    for (const version of ['mcpr2', 'mcpr12', 'mcpr0']) {
      assert.throws(() => parseInvitation(whole.replace('mcpr1', version)), bad(/format \d+, .*Update mcp-rendezvous/));
    }
    assert.throws(() => parseInvitation('x'.repeat(100_000)), bad(/too long/));
    assert.throws(() => invite({ secret: 'x' }), bad(/cannot be made\. It has no complete .*: check the options/));
    // Programs in JavaScript pass anything.
    assert.throws(() => parseInvitation(undefined as unknown as string), bad(/not a text/));
    const cases: [change: Record<string, unknown>, message: RegExp][] = [
      [{ token: undefined }, /no room token/],
      [{ token: 'eyJ.x.y' }, /no room token/],
      [{ room: 'kitchen' }, /another one than its token/],
      [{ room: undefined }, /has no room/],
      [{ secret: undefined }, /no complete end-to-end secret/],
      [{ secret: `${secret.slice(0, -1)}!` }, /no complete end-to-end secret/],
      [{ name: '' }, /name is not a text/],
      [{ name: 'x'.repeat(65) }, /name is not a text/],
      [{ name: 'files\u001b[2J' }, /name is not a text/],
      [{ name: 'a\u202Eb' }, /name is not a text/],
      [{ relay: undefined }, /no relay URL/],
      [{ relay: 'javascript:alert(1)' }, /no relay URL/],
      [{ relay: `wss://${'a'.repeat(2048)}.example` }, /no relay URL/],
      [{ relay: 'wss://user:pass@relay.example' }, /user, password, query or fragment/],
      [{ relay: 'wss://relay.example/?a=b' }, /user, password, query or fragment/],
      [{ relay: 'ws://relay.example' }, /without TLS/],
    ];
    for (const [change, message] of cases) {
      assert.throws(() => parseInvitation(encode({ ...content, ...change })), bad(message), JSON.stringify(change));
      // The room is that of the token, and no option.
      if ('room' in change || change['token'] !== undefined) continue;
      assert.throws(() => invite(change), bad(message), JSON.stringify(change));
    }
    const past = await createRoomToken({ key, room: 'desk', role: 'client', subject: 'a', ttl: 60, issuedAt: 1000 });
    const expired = createInvitation({ relay, token: past, secret });
    assert.throws(() => parseInvitation(expired), {
      code: 'token_expired',
      message: 'The invitation expired at 1970-01-01T00:17:40.000Z. Ask for a new one.',
    });
    // The clocks of whoever made it and of this machine may be a minute apart.
    assert.equal(parseInvitation(expired, { now: 1119 }).expiresAt, 1060);
    assert.throws(() => parseInvitation(expired, { now: 1120 }), { code: 'token_expired' });
    assert.equal(parseInvitation(expired, { now: 0 }).expiresAt, 1060);
  });

  test('without TLS only to this machine and its own network', () => {
    const near = ['localhost:8787', 'relay.localhost', '127.0.0.1:8787', '127.9.9.9', '10.1.2.3', '172.16.0.1'];
    near.push('172.31.255.255', '192.168.1.7:8787', '169.254.3.4', '[::1]:8787', '[fd00::2]', '[fe80::1]', '0x7f.1');
    const far = [
      'relay.example',
      '10.example',
      '127.0.0.1.example',
      '8.8.8.8',
      '172.15.0.1',
      '172.32.0.1',
      '192.169.0.1',
    ];
    far.push(
      '100.64.0.1',
      '[2001:db8::1]',
      '[::ffff:808:808]',
      'localhost.example',
      'fd00.example',
      '9.10.0.1',
      'xlocalhost',
    );
    for (const scheme of ['ws', 'http']) {
      for (const host of near) assert.ok(parseInvitation(invite({ relay: `${scheme}://${host}` })), host);
      for (const host of far) {
        assert.throws(
          () => parseInvitation(encode({ relay: `${scheme}://${host}`, room: 'desk', token, secret })),
          bad(/without TLS/),
          host,
        );
      }
    }
    assert.equal(
      parseInvitation(invite({ relay: new URL('https://relay.example/base/') })).relay,
      'https://relay.example/base',
    );
  });

  test('what is written can be read, whatever room and name are', async () => {
    const unit = fc.integer({ min: 0, max: 0x10_ffff }).map((point) => String.fromCodePoint(point));
    const text = (most: number) => fc.string({ unit, minLength: 1, maxLength: most });
    await fc.assert(
      fc.asyncProperty(text(128), text(64), async (room, name) => {
        try {
          const own = await createRoomToken({ key, room, role: 'server', subject: 's', ttl: 60 });
          const parsed = parseInvitation(createInvitation({ relay, token: own, secret, name }));
          assert.deepEqual([parsed.room, parsed.name, parsed.role], [room, name, 'server']);
        } catch (error) {
          // A control character is in neither; nothing else is refused.
          assert.match(room + name, /\p{C}|\p{Z}|[\uFFFD]/u);
          assert.equal((error as { code?: string }).code, 'bad_option');
        }
      }),
      { numRuns: 100 },
    );
  });

  test('a secret of its own is derived for each invitation', async () => {
    const root = formatSecret(Uint8Array.from({ length: 32 }, (_, n) => n + 1));
    const derived = await deriveSecret(root, 'invitation-1');
    const expected = hkdfSync('sha256', secretKeyBytes(root)!, '', 'invitation-1', 32);
    assert.deepEqual(secretKeyBytes(derived), new Uint8Array(expected));
    assert.notEqual(await deriveSecret(root, 'invitation-2'), derived);
    assert.notEqual(await deriveSecret(createSecret(), 'invitation-1'), derived);
    for (const jti of [undefined, '', '\ud800']) await assert.rejects(deriveSecret(root, jti), bad(/no jti/));
    await assert.rejects(deriveSecret('mcps1', 'x'), bad(/root of secrets/));
  });

  test('a server token may say how long those live whom its holder invites', async () => {
    const make = (role: 'client' | 'server', count: unknown) =>
      createRoomToken({ key, room: 'desk', role, subject: 's', ttl: 60, invite: count as number });
    const claims = (signed: string): unknown => JSON.parse(Buffer.from(signed.split('.')[1]!, 'base64url').toString());
    assert.equal((claims(await make('server', 86_400)) as { invite?: number }).invite, 86_400);
    for (const count of [0, -1, 1.5, '90d', Infinity])
      await assert.rejects(make('server', count), bad(/invite must be/));
    await assert.rejects(make('client', 60), bad(/invite must be/));
  });
});
