import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { NoiseError, NoiseHandshake, type NoiseSession } from '../../src/relayed/noise.ts';
import { loadPrimitives } from '../../src/relayed/primitives.ts';

await loadPrimitives();

/** The public test vectors of Haskell's cacophony, in the format of the Noise wiki. */
interface Vector {
  protocol_name: string;
  init_prologue: string;
  init_psks?: string[];
  init_ephemeral: string;
  resp_prologue: string;
  resp_psks?: string[];
  resp_ephemeral: string;
  handshake_hash: string;
  messages: { payload: string; ciphertext: string }[];
}

const vectors = JSON.parse(readFileSync(new URL('noise-vectors.json', import.meta.url), 'utf8')) as Vector[];
const fromHex = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'));
const toHex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });

function connect(psk?: Uint8Array, prologue = new Uint8Array(4)): { initiator: NoiseSession; responder: NoiseSession } {
  const initiator = new NoiseHandshake({ initiator: true, prologue, psk });
  const responder = new NoiseHandshake({ initiator: false, prologue, psk });
  responder.read(initiator.write());
  initiator.read(responder.write());
  return { initiator: initiator.split(), responder: responder.split() };
}

void suite('noise', () => {
  for (const vector of vectors) {
    test(`${vector.protocol_name}: both sides write the published bytes`, () => {
      const side = (initiator: boolean, prologue: string, ephemeral: string, psks: string[] = []) =>
        new NoiseHandshake({
          initiator,
          prologue: fromHex(prologue),
          ephemeral: fromHex(ephemeral),
          psk: psks[0] === undefined ? undefined : fromHex(psks[0]),
        });
      const initiator = side(true, vector.init_prologue, vector.init_ephemeral, vector.init_psks);
      const responder = side(false, vector.resp_prologue, vector.resp_ephemeral, vector.resp_psks);
      const [first, second, ...transport] = vector.messages;
      assert.ok(first && second && transport.length > 0);
      assert.equal(toHex(initiator.write(fromHex(first.payload))), first.ciphertext);
      assert.equal(toHex(responder.read(fromHex(first.ciphertext))), first.payload);
      assert.equal(toHex(responder.write(fromHex(second.payload))), second.ciphertext);
      assert.equal(toHex(initiator.read(fromHex(second.ciphertext))), second.payload);
      const sessions = [initiator.split(), responder.split()] as const;
      for (const session of sessions) assert.equal(toHex(session.handshakeHash), vector.handshake_hash);
      for (const [index, { payload, ciphertext }] of transport.entries()) {
        const [sender, receiver] = index % 2 === 0 ? sessions : [sessions[1], sessions[0]];
        assert.equal(toHex(sender.send.seal(fromHex(payload))), ciphertext);
        assert.equal(toHex(receiver.receive.open(fromHex(ciphertext))), payload);
      }
    });
  }

  test('the vectors are of both patterns', () => {
    assert.deepEqual(vectors.map(({ protocol_name }) => protocol_name).toSorted(), [
      'Noise_NN_25519_AESGCM_SHA256',
      'Noise_NNpsk0_25519_AESGCM_SHA256',
    ]);
  });

  test('another psk, another prologue, or one side without a psk: the first encrypted message is refused', () => {
    fc.assert(
      fc.property(bytes(32), bytes(32), fc.uint8Array(), fc.uint8Array(), (psk, otherPsk, prologue, otherPrologue) => {
        const cases = [
          { psk: otherPsk, prologue },
          { psk, prologue: otherPrologue },
          { psk: undefined, prologue },
        ];
        for (const theirs of cases) {
          if (Buffer.compare(psk, theirs.psk ?? fromHex('')) === 0 && toHex(prologue) === toHex(theirs.prologue))
            continue;
          const initiator = new NoiseHandshake({ initiator: true, prologue, psk });
          const responder = new NoiseHandshake({ initiator: false, ...theirs });
          assert.throws(() => {
            responder.read(initiator.write());
            initiator.read(responder.write());
          }, NoiseError);
        }
      }),
      { numRuns: 30 },
    );
  });

  test('a bit that was flipped, a repeat, a gap and an exchange of two messages are refused', () => {
    const psk = new Uint8Array(32).fill(7);
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), fc.nat(), (payload, at) => {
        const { initiator, responder } = connect(psk);
        const sealed = initiator.send.seal(payload);
        const flipped = sealed.slice();
        flipped[at % flipped.length]! ^= 1 << (at % 8);
        assert.throws(() => responder.receive.open(flipped), NoiseError);
        assert.deepEqual(responder.receive.open(sealed), payload);
        assert.throws(() => responder.receive.open(sealed), NoiseError);
        const [second, third] = [initiator.send.seal(payload), initiator.send.seal(payload)];
        assert.throws(() => responder.receive.open(third), NoiseError);
        assert.deepEqual(responder.receive.open(second), payload);
        // A message is not its own answer: each direction has its key.
        assert.throws(() => initiator.receive.open(third), NoiseError);
      }),
      { numRuns: 30 },
    );
  });

  test('messages out of turn and public keys of small order are refused', () => {
    const prologue = new Uint8Array(0);
    const initiator = new NoiseHandshake({ initiator: true, prologue });
    assert.throws(() => initiator.read(new Uint8Array(48)), NoiseError);
    assert.throws(() => initiator.split(), NoiseError);
    initiator.write();
    assert.throws(() => initiator.write(), NoiseError);
    assert.throws(() => initiator.read(new Uint8Array(48)), NoiseError);
    const responder = new NoiseHandshake({ initiator: false, prologue });
    responder.read(new Uint8Array(32));
    assert.throws(() => responder.write(), NoiseError);
  });
});
