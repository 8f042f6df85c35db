import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type CandidatePair } from '../../src/peer/werift/internals.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import { eventually } from '../../../test/support/wait.ts';
import { associationOf, iceOf, pairUp, receiving, sentSizes, within } from './pair.ts';
import { rawPeer } from './raw.ts';
import type { RtcDataChannel } from '../../src/peer/engine.ts';

const usual = 1_160;
const large = 'x'.repeat(60_000);
const deadlineMs = 30_000;

async function deliver(from: RtcDataChannel, to: RtcDataChannel): Promise<void> {
  const arrived = receiving(to);
  from.send(large);
  assert.equal(String(await within(arrived, 'the message')).length, large.length);
  await within(weriftEngine.flush!(from), 'the flush');
}

suite('the packets of the werift engine', () => {
  test('grow between two processes of one machine, behind a probe that came back', async (t) => {
    const { near, far } = await pairUp(t);
    assert.equal(associationOf(near).maxPayloadSize, usual, 'small ones as long as messages are small');
    await deliver(near, far);
    await eventually(() => associationOf(near).maxPayloadSize > 16_000, deadlineMs);
    const sent = sentSizes(near);
    await deliver(near, far);
    // With the acknowledgements of what came before, and what is repeated when the machine stands
    // still for a second. Of the usual size they would be 52.
    assert.ok(sent.length < 30, `${sent.length} packets`);
    assert.equal(associationOf(far).maxPayloadSize, usual, 'each side finds out for itself');
  });

  test('are as large as the system sends them', async (t) => {
    const { near, far } = await pairUp(t);
    const ice = iceOf(near);
    const through = ice.send.bind(ice);
    // As macOS, where larger ones are an error of the socket.
    ice.send = async (packet) => {
      if (packet.length <= 9_216) await through(packet);
    };
    await deliver(near, far);
    await eventually(() => associationOf(near).maxPayloadSize > usual, deadlineMs);
    await deliver(near, far);
    assert.equal(associationOf(near).maxPayloadSize, 8_972);
  });

  test('stay as they are where the probe does not come back', async (t) => {
    const { near, far } = await pairUp(t);
    const ice = iceOf(near);
    const through = ice.send.bind(ice);
    // As libjuice does, which reads 4,096 bytes of a packet.
    ice.send = (packet) => through(packet.subarray(0, 4_096));
    for (let count = 0; count < 3; count++) await deliver(near, far);
    assert.equal(associationOf(near).maxPayloadSize, usual);
  });

  test('stay as they are where the other side is not this adapter, and no probe is sent', async (t) => {
    const { near, far } = await pairUp(t, { answerer: rawPeer().connection });
    const sent = sentSizes(near);
    for (let count = 0; count < 3; count++) await deliver(near, far);
    assert.equal(associationOf(near).maxPayloadSize, usual);
    assert.ok(Math.max(...sent) < 1_300, `a packet of ${Math.max(...sent)} bytes`);
  });

  test('stay as they are on the way to another machine, and to a TURN server here', async (t) => {
    for (const remote of [[], [{ type: 'relay' }]]) {
      const { near, far } = await pairUp(t);
      const ice = iceOf(near);
      const [host, port] = ice.nominated!.remoteAddr;
      const candidates = remote.map((candidate) => ({ ...candidate, host, port }));
      Object.defineProperty(ice, 'remoteCandidates', { get: () => candidates });
      for (let count = 0; count < 3; count++) await deliver(near, far);
      assert.equal(associationOf(near).maxPayloadSize, usual);
    }
  });

  test('are small again on another path, until a probe has passed there', async (t) => {
    const { near, far } = await pairUp(t);
    await deliver(near, far);
    await eventually(() => associationOf(near).maxPayloadSize > 16_000, deadlineMs);
    const ice = iceOf(near);
    const { nominated } = ice;
    const elsewhere = Object.create(nominated!, { remoteAddr: { value: ['192.0.2.1', 1] } }) as CandidatePair;
    Object.assign(ice, { nominated: elsewhere });
    Object.assign(ice, { send: () => Promise.resolve() });
    near.send(large);
    assert.equal(associationOf(near).maxPayloadSize, usual);
  });
});
