import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { type CandidateInit, peerData } from 'mcp-rendezvous-protocol';
import { eventually } from '../../../test/support/wait.ts';
import { CandidateTally } from '../../src/peer/diagnosis.ts';
import { ConnectionHandlers } from '../../src/peer/handlers.ts';
import type { RtcPeerConnection } from '../../src/peer/engine.ts';
import { OfferAnswer } from '../../src/peer/offer-answer.ts';
import { expandHost, isUseful } from '../../src/peer/addresses.ts';
import { parseDescription } from '../../src/peer/description.ts';
import { MemorySignaling } from '../../src/signaling/memory.ts';
import { toData, toMessage } from '../../src/signaling/signal-data.ts';
import type { SignalMessage } from '../../src/signaling/signaling.ts';
import { weriftEngine } from '../../src/peer/werift.ts';

/** A connection of an engine that finds whatever candidates a test wants it to. */
class Scripted extends ConnectionHandlers {
  readonly added: string[] = [];
  readonly iceGatheringState = 'complete';
  localDescription: { type: string; sdp: string } | null = null;
  setLocalDescription = async (): Promise<void> => {};
  setRemoteDescription = async (): Promise<void> => {};
  addIceCandidate = async ({ candidate }: CandidateInit): Promise<void> => void this.added.push(candidate);

  find(candidate: string): void {
    this.onicecandidate?.({ candidate: { candidate, sdpMid: '0', sdpMLineIndex: 0 } });
  }
}

const line = (n: number, type: string): string =>
  `candidate:${n} 1 udp 2122260223 10.${n >> 8}.${n & 255}.1 50000 typ ${type}`;
const description = async (framing?: string) => {
  const connection = weriftEngine.createPeerConnection({ iceServers: [], iceTransportPolicy: 'all' });
  connection.createDataChannel('mcp', { ordered: true });
  const { sdp = '' } = await connection.createOffer();
  await connection.close();
  return parseDescription(framing === undefined ? sdp : `${sdp}a=mcp-framed:${framing}\r\n`);
};
type Candidates = Extract<SignalMessage, { kind: 'candidate' }>;

async function exchange() {
  const [near, far] = MemorySignaling.pair();
  await Promise.all([near.start(), far.start()]);
  const sent: Candidates[] = [];
  far.onmessage = (message) => {
    if (message.kind === 'candidate') sent.push(message);
    else described.resolve();
  };
  const described = Promise.withResolvers<void>();
  const connection = new Scripted();
  const options = { signaling: near, gen: 1, trickle: true, tally: new CandidateTally() };
  const one = new OfferAnswer({ ...options, connection: connection as unknown as RtcPeerConnection });
  const all = () => sent.flatMap(({ candidate, more = [] }) => [candidate, ...more].map((init) => init.candidate));
  return { one, connection, sent, all, described: described.promise };
}

const wanted = (found: string[]): string[] =>
  ['host', 'srflx', 'relay'].flatMap((type) => found.filter((text) => text.endsWith(`typ ${type}`)).slice(0, 20));

for (const batch of [true, false]) {
  test(`at most 20 candidates of each type are sent, ${batch ? 'together' : 'one by one'}, whenever they are found`, async () => {
    const [own, theirs] = [await description(), await description(batch ? '1 batch' : '1')];
    const type = fc.constantFrom('host', 'host', 'host', 'host', 'srflx', 'relay');
    for (const types of fc.sample(fc.array(type, { minLength: 100, maxLength: 300 }), { numRuns: 10, seed: 7 })) {
      const found = types.map((name, n) => line(n, name));
      const { one, connection, sent, all, described } = await exchange();
      // Those before the description wait for it, and those before the answer go one by one.
      for (const text of found.slice(0, 10)) connection.find(text);
      assert.equal(sent.length, 0);
      await one.describe('offer', own, { versions: ['1'], restart: false });
      await described;
      await eventually(() => all().length === wanted(found.slice(0, 10)).length);
      assert.equal(sent.length, all().length);
      await one.accept('answer', theirs);
      for (const text of found.slice(10)) connection.find(text);
      await eventually(() => all().length >= wanted(found).length);
      assert.deepEqual(all().toSorted(), wanted(found).toSorted());
      assert.ok(sent.length <= (batch ? 10 + 4 : 60), `${sent.length} signals`);
      for (const message of sent) {
        assert.deepEqual(toMessage(peerData.parse(toData(message)) as never), message);
        assert.ok(JSON.stringify(toData(message)).length < 4096);
      }
    }
  });
}

test('a batch is taken whole, but for what is no candidate, and so is one candidate', async () => {
  const { one, connection } = await exchange();
  const init = (candidate: string): CandidateInit => ({ candidate, sdpMid: '0' });
  await one.describe('offer', await description(), { versions: ['1'], restart: false });
  one.candidates({ candidate: init(line(1, 'host')) });
  await one.accept('answer', await description('1 batch'));
  one.candidates({ candidate: init(line(2, 'host')), more: [init('a\r\nb'), init(line(3, 'srflx'))] });
  assert.deepEqual(connection.added, [line(1, 'host'), line(2, 'host'), line(3, 'srflx')]);
});

test("the useful addresses take the place of an engine's own, whose socket has all of them", () => {
  const of = (address: string, type = 'host') => `candidate:1 1 UDP 2122317823 ${address} 50000 typ ${type}`;
  const done = new Set<string>();
  const useful = ['192.0.2.1', '2001:db8::1', '192.0.2.2'];
  const priorities = (n: number) => 2122317823 - 256 * n;
  assert.deepEqual(expandHost(of('10.0.0.1'), useful, done), [
    `candidate:14 1 UDP ${priorities(0)} 192.0.2.1 50000 typ host`,
    `candidate:34 1 UDP ${priorities(2)} 192.0.2.2 50000 typ host`,
  ]);
  assert.deepEqual(expandHost(of('10.0.0.2'), useful, done), []);
  assert.deepEqual(expandHost(of('fd00::1'), useful, done), [
    `candidate:26 1 UDP ${priorities(1)} 2001:db8::1 50000 typ host`,
  ]);
  for (const other of [of('10.0.0.1', 'srflx'), of('a.local'), 'nonsense']) {
    assert.deepEqual(expandHost(other, useful, done), [other]);
    assert.ok(isUseful(other, useful));
  }
  assert.deepEqual(expandHost(of('10.0.0.1'), undefined, done), [of('10.0.0.1')]);
  assert.deepEqual([isUseful(of('192.0.2.2'), useful), isUseful(of('10.0.0.1'), useful)], [true, false]);
});

test('a description that has its candidates inside has 20 of each type at most', async () => {
  const { sdp } = await description();
  const type = fc.constantFrom('host', 'host', 'srflx', 'relay');
  await fc.assert(
    fc.asyncProperty(fc.array(type, { maxLength: 300 }), async (types) => {
      const found = types.map((name, n) => line(n, name));
      const [near, far] = MemorySignaling.pair();
      await Promise.all([near.start(), far.start()]);
      const told = new Promise<string>((resolve) => {
        far.onmessage = (message) => 'sdp' in message && resolve(message.sdp);
      });
      const connection = new Scripted();
      connection.localDescription = { type: 'offer', sdp: sdp + found.map((text) => `a=${text}\r\n`).join('') };
      const options = { signaling: near, gen: 1, trickle: false, tally: new CandidateTally() };
      const one = new OfferAnswer({ ...options, connection: connection as unknown as RtcPeerConnection });
      await one.describe('offer', { sdp });
      const inside = Array.from((await told).matchAll(/^a=(candidate:.*)\r$/gm), ([, text = '']) => text);
      assert.deepEqual(inside.toSorted(), wanted(found).toSorted());
    }),
    { numRuns: 30 },
  );
});
