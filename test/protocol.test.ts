import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { crc32 } from 'node:zlib';
import * as z from 'zod/mini';
import { closeCodes, frameFromRelay, frameToRelay, peerData, type Verdict, verdictOf } from 'mcp-rendezvous-protocol';
import {
  decode,
  type DataFrame,
  encodeAck,
  encodeClose,
  encodeData,
  encodePing,
  encodePong,
  hello,
} from '../sdk/src/link/frame.ts';
import { parseMessage } from '../sdk/src/link/message.ts';
import { importKey, prove, sessionKey, type Witness } from '../sdk/src/link/proof.ts';
import { Reassembler } from '../sdk/src/link/send-receive-window.ts';
import { certificateBinding, relayContext, signalingContext } from '../sdk/src/link/transcript.ts';
import { parseDescription } from '../sdk/src/peer/description.ts';
import { readFraming } from '../sdk/src/peer/framing.ts';
import { outcomeCode } from '../protocol/src/frames.ts';
import { secretKeyBytes } from '../protocol/src/secret.ts';

/** PROTOCOL.md says what the schemas take: its examples parse, its tables are theirs. */
const text = readFileSync(join(import.meta.dirname, '..', 'PROTOCOL.md'), 'utf8');
/** The example of AUTH: the offerer's first, results in hex. */
const pair = z.tuple([z.string(), z.string()]);
const auth = z.object({
  secret: z.string(),
  room: z.string(),
  iss: z.string(),
  roles: z.tuple([z.enum(['server', 'client']), z.enum(['server', 'client'])]),
  subjects: pair,
  session: z.string(),
  nonces: pair,
  fingerprints: pair,
  proofs: pair,
  sessionKey: z.string(),
});
const schemas = { 'to-relay': frameToRelay, 'from-relay': frameFromRelay, data: peerData, hello, auth };

/** The values of the member by which a union's frames are told apart. */
function kindsOf(union: z.core.$ZodType, member: string): string[] {
  const { oneOf } = z.toJSONSchema(union) as { oneOf: { properties: Record<string, { const?: string }> }[] };
  return oneOf.map(({ properties }) => properties[member]?.const ?? '').toSorted();
}

/** What tests of this file run, by what stands behind the opening fence. */
const executed = [...Object.keys(schemas).map((word) => `json ${word}`), 'hex frame', 'sdp', 'formula'];

interface Example {
  line: number;
  /** What stands behind the opening fence's language. */
  word: string;
  body: string;
}

function examples(language = 'json'): Example[] {
  const fences = text.matchAll(new RegExp(`^\`\`\`${language} *(.*)\\n([^]*?)^\`\`\`$`, 'gm'));
  return Array.from(fences, ({ index, 1: word = '', 2: body = '' }) => ({
    line: text.slice(0, index).split('\n').length,
    word,
    body,
  }));
}

/** The lines between a section's heading and the next one of its depth. */
function section(heading: string): string {
  const start = text.indexOf(`\n${heading}\n`);
  assert.notEqual(start, -1, `PROTOCOL.md has no heading "${heading}"`);
  const [depth = ''] = heading.split(' ');
  const end = text.indexOf(`\n${depth} `, start + heading.length);
  return text.slice(start, end === -1 ? undefined : end);
}

/** The rows of a section's tables, headings aside, whose first cell is a code word: that word, and the other cells. */
function rows(of: string): [word: string, ...cells: string[]][] {
  return Array.from(of.matchAll(/^\| `(\w+)` \|(.*)\|$(?!\n\| ---)/gm), ([, word = '', rest = '']) => [
    word,
    ...rest.split('|').map((cell) => cell.trim()),
  ]);
}

/** The formulas of AUTH as the text has them; `terms` are the bytes of what they name. */
class Formulas {
  readonly #lines: Map<string, string>;

  constructor(body: string) {
    this.#lines = new Map(Array.from(body.matchAll(/^(.+?) += (.+)$/gm), ([, name = '', said = '']) => [name, said]));
  }

  /** The words behind the name's equals sign. */
  said(name: string): string {
    return this.#lines.get(name) ?? assert.fail(`no formula of the ${name}`);
  }

  value(name: string, terms: Record<string, Uint8Array>): Buffer {
    const evaluate = (expression: string): Buffer => {
      const [, call, within = ''] = /^(HMAC-SHA-256|fields)\(([^]*)\)$/.exec(expression) ?? [];
      if (call === 'HMAC-SHA-256') {
        const [key = '', ...message] = split(within, ', ');
        return createHmac('sha256', evaluate(key))
          .update(evaluate(message.join(', ')))
          .digest();
      }
      if (call === 'fields') return Buffer.concat(split(within, ', ').map(evaluate).flatMap(withLength));
      const parts = split(expression, ' | ');
      if (parts.length > 1) return Buffer.concat(parts.map(evaluate));
      const quoted = /^"(.+)"$/.exec(expression)?.[1];
      return Buffer.from(quoted ?? terms[expression] ?? assert.fail(`${name} names ${expression}`));
    };
    return evaluate(this.said(name));
  }
}

function withLength(part: Buffer): Buffer[] {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(part.length);
  return [length, part];
}

/** Where the separator is outside of brackets. What a term says behind a comma is prose, and belongs to it. */
function split(expression: string, separator: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < expression.length; at += 1) {
    if (expression[at] === '(') depth += 1;
    if (expression[at] === ')') depth -= 1;
    if (depth > 0 || !expression.startsWith(separator, at)) continue;
    parts.push(expression.slice(start, at));
    start = at + separator.length;
  }
  return [...parts, expression.slice(start)];
}

/** The bytes of a secret as the text says it: not as the SDK reads it. */
function secretOf(secret: string): Buffer {
  const [body, checksum] = [secret.slice(0, 48), Buffer.from(secret.slice(48), 'base64url')];
  assert.equal(secret.length, 54);
  assert.equal(body.slice(0, 5), 'mcps1');
  assert.equal(checksum.readUInt32BE(), crc32(body));
  return Buffer.from(body.slice(5), 'base64url');
}

void suite('PROTOCOL.md', () => {
  test('every block is of a kind that a test of this file runs', () => {
    const fences = text.match(/^ *(```|~~~).*$/gm) ?? [];
    assert.equal(fences.length % 2, 0);
    for (const [index, fence] of fences.entries()) {
      if (index % 2 === 1) assert.equal(fence, '```');
      else assert.ok(executed.includes(fence.slice(3)), `"${fence}" is none of ${executed.join(', ')}`);
    }
    // Nor is there one by indentation, which no fence would tell.
    assert.doesNotMatch(text, /\n\n {4,}\S/);
  });

  test('every link and every § leads to a section', () => {
    const headings = Array.from(text.matchAll(/^#+ (.+)$/gm), ([, heading = '']) => heading);
    const anchors = headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    );
    const links = Array.from(text.matchAll(/\]\(#(.+?)\)/g), ([, anchor = '']) => anchor);
    assert.deepEqual(
      links,
      anchors.filter((anchor) => /^\d/.test(anchor)),
    );
    // Those of other documents have their name before them.
    for (const [, number] of text.matchAll(/(?<!(?:RFC \d+|RFC \d+,) )§(\d+)/g)) {
      assert.ok(
        anchors.some((anchor) => anchor.startsWith(`${number}-`)),
        `§${number}`,
      );
    }
  });

  test('every JSON example says which schema it is for, and parses with it, with no member left over', () => {
    assert.ok(examples().length > 10);
    for (const { line, word, body } of examples()) {
      assert.ok(word in schemas, `line ${line}: "json ${word}" names no schema: ${Object.keys(schemas).join(', ')}`);
      const value: unknown = JSON.parse(body);
      const parsed = schemas[word as keyof typeof schemas].safeParse(value);
      assert.ok(parsed.success, `line ${line}: ${parsed.error?.message}`);
      assert.deepEqual(parsed.data, value, `line ${line} has a member that the schema does not know`);
    }
  });

  test('every frame and every kind of data has an example', () => {
    const shown = (wanted: string, discriminator: string): string[] => {
      const values = examples()
        .filter(({ word }) => word === wanted)
        .map(({ body }) => (JSON.parse(body) as Record<string, string>)[discriminator] ?? '');
      return [...new Set(values)].toSorted();
    };
    assert.deepEqual(shown('to-relay', 'type'), kindsOf(frameToRelay, 'type'));
    assert.deepEqual(shown('from-relay', 'type'), kindsOf(frameFromRelay, 'type'));
    assert.deepEqual(shown('data', 'kind'), kindsOf(peerData, 'kind'));
  });

  /** The frames of the examples, one a line. */
  const frames = () => examples('hex').flatMap(({ body }) => body.trim().split('\n').map(fromHex));
  const fromHex = (line: string) => Uint8Array.from(Buffer.from(line.replaceAll(' ', ''), 'hex'));

  test('every frame in hex is read and written as it stands there', () => {
    assert.ok(frames().length > 5);
    for (const bytes of frames()) {
      const frame = decode(bytes);
      switch (frame.type) {
        case 'data': {
          const meta = frame.meta && new TextEncoder().encode(JSON.stringify(frame.meta));
          assert.deepEqual(encodeData({ ...frame, meta }), bytes);
          break;
        }
        case 'ack':
          assert.deepEqual(encodeAck(frame.ack), bytes);
          break;
        case 'ping':
          assert.deepEqual(encodePing(frame.id), bytes);
          break;
        case 'pong':
          assert.deepEqual(encodePong(frame.id), bytes);
          break;
        case 'close':
          assert.deepEqual(encodeClose(frame.code, frame.reason), bytes);
          break;
        default:
          assert.fail(`${frame.type} is not shown in hex`);
      }
    }
  });

  test('the DATA frames in hex are the messages that the text names', () => {
    const said = /^The message `(.*?)` in two parts[^]*?^The same with `(.*?)` in one part/m.exec(text);
    assert.ok(said);
    const [, message = '', meta = ''] = said;
    const reassembler = new Reassembler(1_000);
    const data = frames()
      .map((bytes) => decode(bytes))
      .filter((frame): frame is DataFrame => frame.type === 'data');
    const received = data.map((frame) => reassembler.take(frame));
    const read = received.map((taken) =>
      taken.type === 'message' ? { ...parseMessage(taken.text), meta: taken.meta } : taken.type,
    );
    const value: unknown = JSON.parse(message);
    const beside: unknown = JSON.parse(meta);
    assert.deepEqual(read, [
      'part',
      { type: 'message', message: value, meta: undefined },
      { type: 'message', message: value, meta: beside },
    ]);
  });

  test('the formulas of AUTH, the example behind them and the SDK come to the same', async () => {
    const [formula, ...more] = examples('formula');
    assert.deepEqual(more, []);
    const formulas = new Formulas(formula?.body ?? '');
    const example = examples().find(({ word }) => word === 'auth');
    const said = auth.parse(JSON.parse(example?.body ?? ''));
    const [offererSdp, answererSdp] = said.fingerprints.map(
      (value) => `v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=fingerprint:${value}\r\n`,
    );
    assert.ok(offererSdp && answererSdp);
    const read = [offererSdp, answererSdp].map((sdp) => parseDescription(sdp).fingerprint);
    assert.deepEqual(read, said.fingerprints);
    const bytes = (values: Record<string, string>) =>
      Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Buffer.from(value)]));
    const { room, iss } = said;
    const [offerer, answerer] = [0, 1].map((at) => ({ role: said.roles[at]!, subject: said.subjects[at]! }));
    assert.ok(offerer && answerer);
    const context = formulas.value('context', {
      ...bytes({ room, iss, iss_other: iss }),
      ...bytes({ role_o: offerer.role, sub_o: offerer.subject, role_a: answerer.role, sub_a: answerer.subject }),
    });
    const met = { room, issuer: iss, otherIssuer: iss, offerer, answerer };
    assert.deepEqual(Buffer.from(relayContext(met)), context);
    for (const name of ['', 'ticket 4711']) {
      assert.deepEqual(formulas.value('own context', bytes({ name })), Buffer.from(signalingContext(name)));
    }
    const [fingerprintOfOfferer, fingerprintOfAnswerer] = said.fingerprints;
    const binding = formulas.value('binding', bytes({ fp_o: fingerprintOfOfferer, fp_a: fingerprintOfAnswerer }));
    assert.deepEqual(Buffer.from(certificateBinding(fingerprintOfOfferer, fingerprintOfAnswerer)), binding);

    const [offererNonce, answererNonce] = said.nonces;
    const witness: Witness = { offererNonce, answererNonce, session: said.session, context, binding };
    assert.match(formulas.said('sender'), /^"offerer" or "answerer"/);
    const terms = {
      nonce_o: Buffer.from(offererNonce, 'base64url'),
      nonce_a: Buffer.from(answererNonce, 'base64url'),
      session: Buffer.from(said.session),
      context,
      binding,
    };
    const secret = secretOf(said.secret);
    assert.deepEqual(secretKeyBytes(said.secret), new Uint8Array(secret));
    const ofSession = (secretBytes: Uint8Array) =>
      formulas.value('session key', { ...terms, 'the 32 bytes of the secret, or nothing': secretBytes });
    assert.equal(ofSession(secret).toString('hex'), said.sessionKey);
    const [first, resumed, ...others] = formulas.said('key').split('; ');
    assert.deepEqual(
      [first, resumed, others],
      ['the 32 bytes of the secret', 'when a session is resumed, the session key', []],
    );

    const keys: [Uint8Array, CryptoKey, string[]?][] = [
      [secret, await importKey(new Uint8Array(secret)), said.proofs],
      [ofSession(secret), await sessionKey(witness, secret)],
      [ofSession(Buffer.alloc(0)), await sessionKey(witness, undefined)],
    ];
    for (const [key, native, shown] of keys) {
      const proofs = await Promise.all(
        (['offerer', 'answerer'] as const).map(async (who) => {
          const sender = Buffer.from(who);
          const proof = formulas.value('proof', { ...terms, key, sender });
          assert.deepEqual(Buffer.from(await prove(native, who, witness)), proof);
          return proof.toString('hex');
        }),
      );
      if (shown) assert.deepEqual(proofs, shown);
    }
  });

  test("the SDP's attribute asks for the version of framed mode that there is", () => {
    const [example, ...more] = examples('sdp');
    assert.deepEqual(more, []);
    assert.deepEqual(readFraming(example?.body ?? ''), { versions: ['1'], restart: false });
  });

  test('§5 lists the close codes, in the ranges of their verdicts', () => {
    const errors = section('## 5. Errors and close codes');
    const table = Object.fromEntries(rows(errors).map(([code, number]) => [code, Number(number)]));
    assert.deepEqual(table, { ...closeCodes });

    const verdicts: Record<string, Verdict> = {
      'give up': 'give_up',
      'come back with another token': 'new_token',
      'come back': 'come_back',
    };
    const ranges = Array.from(errors.matchAll(/^\| (\d+)–(\d+) \| \*\*(.+?)\*\*/gm), ([, least, most, words = '']) => ({
      least: Number(least),
      most: Number(most),
      verdict: verdicts[words],
    }));
    assert.equal(ranges.length, 3);
    for (const { least, most, verdict } of ranges) {
      for (let number = least; number <= most; number += 1) assert.equal(verdictOf(number), verdict, String(number));
    }
    const ranged = Object.values(closeCodes).filter((number) =>
      ranges.some(({ least, most }) => number >= least && number <= most),
    );
    assert.deepEqual(ranged, Object.values(closeCodes));
  });

  test('§4 lists the outcome codes', () => {
    const codes = rows(section('### `outcome`')).map(([code]) => code);
    assert.deepEqual(codes, outcomeCode.options);
  });
});
