import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { suite, test } from 'node:test';
import { secretKeyBytes } from 'mcp-rendezvous-protocol';
import { createInvitation, createRoomToken, createSecret, parseInvitation } from 'mcp-rendezvous/token';
import { parseDescription } from '../../sdk/src/peer/description.ts';
import { commonVersion, readFraming } from '../../sdk/src/peer/framing.ts';
import { decode } from '../../sdk/src/link/frame.ts';
import { oddDescriptions } from '../../sdk/src/testing/odd-descriptions.ts';
import { full } from '../support/full.ts';
import { testSecret } from '../support/relay.ts';
import { virtualPython } from './python.ts';

/**
 * Readers that disagree let a relay sit in the middle: examples/python takes what this SDK takes,
 * and reads the same of it.
 */
const readInPython = <Name extends string>(texts: Record<Name, string[]>): Record<Name, unknown[]> =>
  run('readers.py', [], texts) as Record<Name, unknown[]>;

/** What a program of this folder prints in JSON. */
function run(program: string, args: string[], input?: unknown): unknown {
  const file = fileURLToPath(new URL(program, import.meta.url));
  const limits = { encoding: 'utf8', maxBuffer: 2 ** 28, timeout: 120_000 } as const;
  const { stdout, stderr } = spawnSync(virtualPython(), ['-B', file, ...args], {
    input: JSON.stringify(input),
    ...limits,
  });
  assert.ok(stdout, stderr);
  return JSON.parse(stdout);
}

const attempt = <T>(read: () => T): T | null => {
  try {
    return read();
  } catch {
    return null;
  }
};

/** With its last character of the key changed. */
const flipped = (secret: string): string =>
  secret.slice(0, -7) + (secret.at(-7) === 'A' ? 'B' : 'A') + secret.slice(-6);

const base = [
  'v=0',
  'o=- 1 1 IN IP4 127.0.0.1',
  's=-',
  't=0 0',
  'a=group:BUNDLE 0',
  'm=application 9 UDP/DTLS/SCTP webrtc-datachannel',
  'c=IN IP4 0.0.0.0',
  'a=mid:0',
  'a=ice-ufrag:abcd',
  'a=ice-pwd:0123456789012345678901',
  `a=fingerprint:sha-256 ${Array<string>(32).fill('AB').join(':')}`,
  'a=setup:actpass',
  'a=sctp-port:5000',
  'a=max-message-size:262144',
  'a=mcp-framed:1 restart batch resume=hTq3b0mXk2nV8sJ4yLwZrA',
].map((line) => `${line}\r\n`);

/** What becomes of a line: each of these is right in one place and wrong in another. */
function* changed(): Generator<string> {
  const lines = [
    'a=mcp-framed:2',
    'a=mcp-framed:1 ',
    'a=setup:active',
    'a=mid:1',
    'a=x',
    'a=',
    'A=x',
    '',
    'a=x:\u00e9',
    'a=x:\t',
    '\n',
  ];
  for (const [at, line] of base.entries()) {
    const [before, after] = [base.slice(0, at).join(''), base.slice(at + 1).join('')];
    for (const own of [
      '',
      line + line,
      line.toUpperCase(),
      line.toLowerCase(),
      line.replace('\r\n', '\n'),
      line.trimEnd(),
    ]) {
      yield before + own + after;
    }
    for (const own of [line.replace(':', ': '), line.replace('\r\n', ' \r\n'), line.replace('\r\n', '\r\r\n')]) {
      yield before + own + after;
    }
    for (const own of lines) yield `${before}${own}\r\n${line}${after}`;
  }
  for (const end of ['\n', '\r', '\r\n', '\n\n', '\u2028', '\0', 'x']) yield base.join('') + end;
}

suite('what examples/python reads as this SDK does', () => {
  test('session descriptions, of which most are odd', () => {
    const odd = oddDescriptions(base.join(''), Array<string>(32).fill('0F').join(':'), 22);
    const description = [...changed(), ...Array.from({ length: full ? 100_000 : 4_000 }, () => odd.next().value)];
    const expected = description.map((text) =>
      attempt(() => {
        const { sdp, fingerprint } = parseDescription(text);
        const framing = readFraming(sdp);
        return { sdp, fingerprint, resume: framing?.resume ?? null, framed: commonVersion(framing) !== undefined };
      }),
    );
    const taken = expected.filter((one) => one !== null).length;
    assert.ok(taken > 500 && taken < description.length - 500, `${taken} of ${description.length}`);
    for (const [at, read] of readInPython({ description }).description.entries()) {
      assert.deepEqual(read, expected[at], JSON.stringify(description[at]));
    }
  });

  test('secrets, HELLOs and invitations', async () => {
    const secret = createSecret();
    const secrets = [
      secret,
      secret.slice(1),
      `${secret} `,
      `${secret}\n`,
      secret.replace('mcps1', 'mcps2'),
      flipped(secret),
      '',
    ];
    const nonce = Buffer.alloc(32, 7).toString('base64url');
    const said = { session: 'x'.repeat(22), nonce, maxMessageBytes: 1, received: 0, auth: 'none' };
    const wrong = [{ session: 'x' }, { nonce: 'x' }, { maxMessageBytes: 0 }, { received: -1 }, { received: 2 ** 53 }];
    const more = [
      { received: 1.5 },
      { received: true },
      { auth: 'yes' },
      { session: 1 },
      { unknown: 1 },
      { session: undefined },
    ];
    const hellos = [{}, ...wrong, ...more].map((one) => JSON.stringify({ ...said, ...one }));
    const id = 'invitation-1';
    const claims = { key: testSecret, room: 'desk', subject: 'agent-7', ttl: '1h' } as const;
    const token = await createRoomToken({ ...claims, role: 'client', id });
    const written = (changes: object) =>
      `mcpr1${Buffer.from(JSON.stringify({ relay: 'wss://relay.example', room: 'desk', token, secret, ...changes })).toString('base64url')}`;
    const invitations = [
      createInvitation({ relay: 'ws://192.168.0.9:8787', token, secret, name: 'files' }),
      `https://relay.example/#${written({})}`,
      `  ${written({}).slice(0, 40)}\n${written({}).slice(40)}\n`,
      written({}).slice(0, -2),
      written({}).replace('mcpr1', 'mcpr2'),
      written({}).replace('mcpr1', 'mcpr11'),
      ...[
        'ws://relay.example',
        'http://8.8.8.8',
        'ftp://relay.example',
        'wss://me@relay.example',
        'wss://relay.example?x=1',
        '',
      ].map((relay) => written({ relay })),
      ...['ws://[::1]:1', 'http://10.0.0.1/relay', 'ws://a.localhost', 'ws://[fe80::1]', 'ws://172.32.0.1'].map(
        (relay) => written({ relay }),
      ),
      ...['another', 7, '', null].map((room) => written({ room })),
      ...['x'.repeat(65), 'a\u202eb', 'a\u0007b', '', 7].map((name) => written({ name })),
      ...[createSecret(), flipped(secret), 7].map((one) => written({ secret: one })),
      ...['nonsense', token.replace(/\..*\./, '.e30.'), await createRoomToken({ ...claims, role: 'client' })].map(
        (one) => written({ token: one }),
      ),
      'mcpr1',
      '',
    ];
    const read = readInPython({ secret: secrets, hello: hellos, invitation: invitations });
    assert.deepEqual(
      read.secret,
      secrets.map((one) => Buffer.from(secretKeyBytes(one) ?? []).toString('hex') || null),
    );
    const helloBytes = (text: string) => Uint8Array.of(1, ...new TextEncoder().encode(text));
    const helloOf = (text: string) => {
      const frame = decode(helloBytes(text));
      return frame.type === 'hello' ? frame.hello.nonce : null;
    };
    assert.deepEqual(
      read.hello,
      hellos.map((text) => attempt(() => helloOf(text))),
    );
    const invitationOf = (text: string) => {
      const { relay, room, token: given, secret: own, name = null } = parseInvitation(text);
      return { relay, room, token: given, secret: own, name };
    };
    const expected = invitations.map((text) => attempt(() => invitationOf(text)));
    assert.equal(expected.filter((one) => one !== null).length, 9);
    for (const [at, one] of read.invitation.entries()) assert.deepEqual(one, expected[at], invitations[at] ?? '');
  });
});

test('framed sessions of examples/python: cut, hostile, and asked for by strangers', () => {
  const seeds = full ? 100 : 6;
  const outcomes = run('framed_sessions.py', [String(seeds)]) as Record<
    'cut_often' | 'strangers' | 'unhandled',
    unknown[]
  > & {
    hostile: { code: string | null }[];
  };
  assert.deepEqual(
    outcomes.cut_often,
    Array.from({ length: seeds }, () => ({ arrived: true, errors: [] })),
  );
  assert.deepEqual(
    outcomes.strangers,
    Array.from({ length: seeds }, () => ({ refused: true, arrived: true })),
  );
  for (const { code } of outcomes.hostile) assert.ok(code === null || code === 'bad_channel', String(code));
  assert.deepEqual(outcomes.unhandled, []);
});
