import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Engine } from '../../src/peer/engine.ts';
import { closeConnection, PeerNegotiation, type PeerOptions } from '../../src/peer/negotiation.ts';
import { weriftEngine as engine } from '../../src/peer/werift.ts';
import { MemorySignaling } from '../../src/signaling/memory.ts';

// An engine is chosen, perhaps loaded, and may ask servers before there is a connection of it. What
// the offerer finds meanwhile is all that there is where a NAT lets in nobody who was not asked.

/** One is enough, if it is of a kind that both sides have. */
const isUsable = ({ candidate }: { candidate: string }): boolean => / udp \d+ [\d.]+ \d+ typ host/i.test(candidate);

for (const gen of [1, 2]) {
  test(`a candidate that comes while the answerer chooses its engine leads to a connection, at offer ${gen}`, async (t) => {
    const [offering, answering] = MemorySignaling.pair();
    const chosen = Promise.withResolvers<void>();
    const choosing = Promise.withResolvers<void>();
    const send = offering.send.bind(offering);
    let said = false;
    offering.send = async (message) => {
      if (message.kind !== 'candidate') return await send(message);
      if (said || !isUsable(message.candidate)) return;
      said = true;
      await choosing.promise;
      await send(message);
      chosen.resolve();
    };
    const tell = answering.send.bind(answering);
    answering.send = async (message) => {
      if (message.kind !== 'candidate') await tell(message);
    };
    let offers = 0;
    const slow: Engine = {
      ...engine,
      prepare: async () => {
        if (++offers < gen) return;
        choosing.resolve();
        await chosen.promise;
      },
    };
    const options = { iceServers: () => [], iceTransportPolicy: () => 'all' as const, trickle: true };
    const run = (more: Pick<PeerOptions, 'signaling' | 'offerer' | 'engine' | 'started'>) =>
      new PeerNegotiation({ ...options, ...more }).run(AbortSignal.timeout(60_000));
    const answered = run({ signaling: answering, offerer: false, engine: slow });
    await offering.start();
    // One before, which its offerer gives up: its connection takes no candidates of the next one.
    for (let before = 1; before < gen; before++) {
      const connection = engine.createPeerConnection({ iceServers: [], iceTransportPolicy: 'all' });
      connection.createDataChannel('mcp', {});
      const { sdp = '' } = await connection.createOffer();
      closeConnection(connection);
      const answer = new Promise((resolve) => (offering.onmessage = resolve));
      await send({ kind: 'offer', gen: before, sdp });
      await answer;
    }
    const offered = run({ signaling: offering, offerer: true, engine, started: { gen: gen - 1 } });
    const peers = await Promise.all([offered, answered]);
    for (const { connection } of peers) t.after(() => closeConnection(connection));
    assert.equal(peers[1].exchange.gen, gen);
  });
}
