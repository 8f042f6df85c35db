import assert from 'node:assert/strict';
import { createHash, hkdfSync } from 'node:crypto';
import { suite, test } from 'node:test';
import * as z from 'zod/mini';
import {
  closeCodes,
  createInvitation,
  deriveSecret,
  parseInvitation,
  type Verdict,
  verdictOf,
} from 'mcp-rendezvous-protocol';
import {
  decode,
  type DataFrame,
  encodeAck,
  encodeClose,
  encodeData,
  encodePing,
  encodePong,
} from '../sdk/src/link/frame.ts';
import { parseMessage } from '../sdk/src/link/reading.ts';
import { pathKey, prove, relayedSession, sessionKey, type Witness } from '../sdk/src/link/proof.ts';
import { Reassembler } from '../sdk/src/link/send-receive-window.ts';
import { certificateBinding, relayContext, relayedPrologue, signalingContext } from '../sdk/src/link/transcript.ts';
import { decodeRelayed, encodeRelayed } from '../protocol/src/relayed-frame.ts';
import { parseDescription } from '../sdk/src/peer/description.ts';
import { readFraming } from '../sdk/src/peer/framing.ts';
import { NoiseHandshake } from '../sdk/src/relayed/noise.ts';
import { loadPrimitives } from '../sdk/src/relayed/primitives.ts';
import { frameFromRelay, frameToRelay, outcomeCode } from '../protocol/src/frames.ts';
import { hello } from '../protocol/src/link-data.ts';
import { peerData } from '../protocol/src/peer-data.ts';
import { secretKeyBytes } from '../protocol/src/secret.ts';
import { examples, Formulas, rows, secretOf, section, text } from './support/protocol-document.ts';

/** PROTOCOL.md says what the schemas take: its examples parse, its tables are theirs. */

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
/** Read in its own test, by the function that reads invitations. */
const invitation = z.object({
  relay: z.string(),
  room: z.string(),
  token: z.string(),
  secret: z.string(),
  name: z.string(),
});
/** The examples of the handshake of the relayed path: the client's first. */
const relayed = z.object({
  iss: z.string(),
  room: z.string(),
  client: z.string(),
  session: z.string(),
  gen: z.number(),
  psk: z.string(),
  ephemerals: pair,
  payload: z.string(),
  plain: z.string(),
  messages: pair,
  hash: z.string(),
  exported: z.string(),
  begins: z.object({ session: z.string(), sessionKey: z.string(), pathKey: z.string() }),
  sealed: z.string(),
});
const schemas = {
  'to-relay': frameToRelay(),
  'from-relay': frameFromRelay(),
  data: peerData(),
  hello: hello(),
  auth,
  invitation,
  relayed,
};

/** The values of the member by which a union's frames are told apart. */
function kindsOf(union: z.core.$ZodType, member: string): string[] {
  const { oneOf } = z.toJSONSchema(union) as { oneOf: { properties: Record<string, { const?: string }> }[] };
  return oneOf.map(({ properties }) => properties[member]?.const ?? '').toSorted();
}

/** What tests of this file run, by what stands behind the opening fence. */
const executed = [...Object.keys(schemas).map((word) => `json ${word}`), 'hex frame', 'hex relayed', 'sdp', 'formula'];

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
    assert.deepEqual(shown('to-relay', 'type'), kindsOf(frameToRelay(), 'type'));
    assert.deepEqual(shown('from-relay', 'type'), kindsOf(frameFromRelay(), 'type'));
    assert.deepEqual(shown('data', 'kind'), kindsOf(peerData(), 'kind'));
  });

  /** The frames of the examples, one per line. */
  const frames = (kind = 'frame') =>
    examples('hex')
      .filter(({ word }) => word === kind)
      .flatMap(({ body }) => body.trim().split('\n').map(fromHex));
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

  test('the invitation of the example is read as it stands there, and its secret is derived as the text says', async () => {
    const { body = '' } = examples().find(({ word }) => word === 'invitation') ?? {};
    const said = invitation.parse(JSON.parse(body));
    const written = `mcpr1${Buffer.from(JSON.stringify(said)).toString('base64url')}`;
    const { role, subject, id, expiresAt, ...read } = parseInvitation(written, { now: 0 });
    assert.deepEqual(read, said);
    assert.deepEqual([role, subject, expiresAt], ['client', 'agent-7', 1_790_000_000]);
    assert.equal(createInvitation(said), written);
    const [, root = '', jti = ''] =
      /With the root `(mcps1\S+)` and the `jti` `(\S+)`/.exec(section('## 2. Room tokens')) ?? [];
    assert.equal(jti, id);
    assert.equal(await deriveSecret(root, jti), said.secret);
    const key = Buffer.from(hkdfSync('sha256', secretOf(root), '', jti, 32));
    assert.deepEqual(secretOf(said.secret), key);
  });

  test('the formulas of AUTH, the example behind them and the SDK come to the same', async () => {
    const [formula, ofRelayed, ...more] = examples('formula');
    assert.ok(ofRelayed);
    assert.deepEqual(more, []);
    const formulas = new Formulas(formula?.body ?? '');
    const example = examples().find(({ word }) => word === 'auth');
    const said = auth.parse(JSON.parse(example?.body ?? ''));
    const [offererSdp, answererSdp] = said.fingerprints.map(
      (value) =>
        `v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=setup:active\r\na=fingerprint:${value}\r\n`,
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

    const keys: [Uint8Array, Uint8Array<ArrayBuffer>, string[]?][] = [
      [secret, new Uint8Array(secret), said.proofs],
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

  test('relayed data in hex is read and written as it stands there', () => {
    for (const bytes of frames('relayed')) {
      const { peer, payload } = decodeRelayed(bytes) ?? assert.fail('it is not read');
      assert.deepEqual(encodeRelayed(peer, payload), bytes);
    }
  });

  test('the formulas of the relayed path and the SDK come to the same', async () => {
    const formulas = new Formulas(examples('formula')[1]?.body ?? '');
    const bytes = (values: Record<string, string>) =>
      Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Buffer.from(value)]));
    const named = { iss: 'https://i.example', room: 'desk', session: 'hTq3b0mXk2nV8sJ4yLwZrA', gen: '7' };
    const prologue = formulas.value('prologue', bytes({ ...named, 'sub of the client': 'agent-7' }));
    const peers = { issuer: named.iss, room: named.room, client: 'agent-7' };
    assert.deepEqual(Buffer.from(relayedPrologue(peers, named.session, 7)), prologue);
    const [h, exported] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
    const label = formulas.value('label', { h });
    const key = formulas.value('session key', { exported, label });
    const name = createHash('sha256').update(label).digest().subarray(0, 16).toString('base64url');
    assert.match(formulas.said('session'), /^base64url\(the first 16 bytes of SHA-256\(label\)\)$/);
    const begun = await relayedSession(h, new Uint8Array(exported));
    assert.equal(begun.name, name);
    assert.deepEqual(Buffer.from(await pathKey(begun.key)), formulas.value('path key', { 'session key': key }));
  });

  test('the handshakes of the relayed path and the SDK come to the same', async () => {
    await loadPrimitives();
    const hex = (digits: string) => Uint8Array.from(Buffer.from(digits, 'hex'));
    const shown = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
    const all = examples().filter(({ word }) => word === 'relayed');
    assert.equal(all.length, 3);
    const begun: z.infer<typeof relayed>[] = [];
    for (const { body } of all) {
      const said = relayed.parse(JSON.parse(body));
      begun.push(said);
      const peers = { issuer: said.iss, room: said.room, client: said.client };
      const prologue = relayedPrologue(peers, said.session, said.gen);
      const psk = said.psk === '' ? undefined : hex(said.psk);
      const [client, server] = said.ephemerals.map(
        (key, n) => new NoiseHandshake({ initiator: n === 0, prologue, psk, ephemeral: hex(key) }),
      ) as [NoiseHandshake, NoiseHandshake];
      const first = client.write();
      assert.equal(server.read(first).length, 0);
      const second = server.write(new TextEncoder().encode(said.payload));
      assert.equal(new TextDecoder().decode(client.read(second)), said.payload);
      assert.deepEqual([first, second].map(shown), said.messages);
      const [ofClient, ofServer] = [client.split(), server.split()];
      assert.deepEqual([ofClient.handshakeHash, ofClient.exported].map(shown), [said.hash, said.exported]);
      const { name, key } = await relayedSession(ofClient.handshakeHash, new Uint8Array(ofClient.exported));
      assert.deepEqual([name, shown(await pathKey(key))], [said.begins.session, said.begins.pathKey]);
      const sealed = ofClient.send.seal(hex(said.plain));
      assert.equal(shown(sealed), said.sealed);
      assert.equal(shown(ofServer.receive.open(sealed)), said.plain);
    }
    // The last one goes on with the session that the one with the secret began.
    const [none, secret, more] = begun.map(({ psk, session }) => ({ psk, session }));
    const example = auth.parse(JSON.parse(examples().find(({ word }) => word === 'auth')?.body ?? ''));
    assert.deepEqual([none?.psk, secret?.psk], ['', Buffer.from(secretKeyBytes(example.secret) ?? []).toString('hex')]);
    assert.deepEqual(more, { psk: begun[1]?.begins.pathKey, session: begun[1]?.begins.session });
  });

  test("the SDP's attribute asks for the version of framed mode that there is", () => {
    const [example, ...more] = examples('sdp');
    assert.deepEqual(more, []);
    assert.deepEqual(readFraming(example?.body ?? ''), {
      versions: ['1'],
      restart: false,
      batch: false,
      reoffer: false,
    });
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
    assert.deepEqual(codes, outcomeCode().options);
  });
});
