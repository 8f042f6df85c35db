import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { closePair, connectPair, receiving, within } from './pair.ts';
import { rawPeer, type RawPeer } from './raw.ts';

const messages = 20;

/** The encrypted records that a peer sends, each with its number. */
function tapped(): { peer: RawPeer; records: { number: number; bytes: string }[] } {
  const records: { number: number; bytes: string }[] = [];
  const peer = rawPeer({
    gated: true,
    alter: (packet, send) => {
      for (let at = 0; at + 13 <= packet.length; at += 13 + packet.readUInt16BE(at + 11)) {
        const record = packet.subarray(at, at + 13 + packet.readUInt16BE(at + 11));
        if (record.readUInt16BE(3) === 1)
          records.push({ number: record.readUIntBE(5, 6), bytes: record.toString('hex') });
      }
      send(packet);
    },
  });
  return { peer, records };
}

suite('the record numbers of the werift engine', () => {
  test('no two records have the same number, and with it the same nonce, in both roles', async (t) => {
    const sides = [tapped(), tapped()] as const;
    const [offerer, answerer] = [sides[0].peer.connection, sides[1].peer.connection];
    t.after(() => closePair({ offerer, answerer }));
    const { near, far } = await connectPair({ offerer, answerer });
    const arrived = Promise.all([receiving(near, messages), receiving(far, messages)]);
    for (let count = 0; count < messages; count++) {
      near.send(`near ${count}`);
      far.send(`far ${count}`);
    }
    await within(arrived, 'the messages');
    for (const { records } of sides) {
      assert.ok(records.length > messages);
      // A repeated flight is the same bytes again.
      const different = new Map(records.map(({ number, bytes }) => [bytes, number]));
      assert.deepEqual([...different.values()], [...new Set(different.values())]);
    }
  });
});
