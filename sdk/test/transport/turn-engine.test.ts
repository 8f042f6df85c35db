import assert from 'node:assert/strict';
import { after, suite, test, type TestContext } from 'node:test';
import type { IceServer } from 'mcp-rendezvous-protocol';
import { Coturn, credentials } from '../../../test/support/coturn.ts';
import type { Engine } from '../../src/peer/engine.ts';
import { type ConnectedPeer, closeConnection, PeerNegotiation } from '../../src/peer/negotiation.ts';
import { nodeDatachannelEngine } from '../../src/peer/node-datachannel.ts';
import { readStats } from '../../src/peer/stats.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import { MemorySignaling } from '../../src/signaling/memory.ts';
import type { SignalMessage } from '../../src/signaling/signaling.ts';
import { diagnoseTo, type DiagnosticEvent } from '../../src/util/diagnostic.ts';
import { OwnTime } from '../../../test/support/own-time.ts';

const coturn = await Coturn.start();
after(() => coturn.stop());

const isRelayed = ({ candidate }: { candidate: string }): boolean => / typ relay/.test(candidate);

/** Two peers who learn of each other's relayed candidates only: all that a strict NAT leaves. */
function behindStrictNats(): [MemorySignaling, MemorySignaling] {
  const pair = MemorySignaling.pair();
  for (const end of pair) {
    const send = end.send.bind(end);
    end.send = async (message: SignalMessage) => {
      if (message.kind !== 'candidate') return send(message);
      const [candidate, ...more] = [message.candidate, ...(message.more ?? [])].filter(isRelayed);
      if (candidate) await send({ kind: 'candidate', gen: message.gen, candidate, ...(more.length > 0 && { more }) });
    };
  }
  return pair;
}

interface Side {
  engine: Engine;
  iceServers?: IceServer[];
}

interface Trial {
  offering: Side;
  answering: Side;
  strict?: boolean;
  pair?: [MemorySignaling, MemorySignaling];
  iceTransportPolicy?: 'all' | 'relay';
  /** Both ends' events go there. */
  events?: DiagnosticEvent[];
}

async function negotiate(t: TestContext, trial: Trial): Promise<[ConnectedPeer, ConnectedPeer]> {
  const { offering, answering, strict = true, iceTransportPolicy = 'all', events = [] } = trial;
  const { pair = strict ? behindStrictNats() : MemorySignaling.pair() } = trial;
  const peers = [offering, answering].map(({ engine, iceServers = [credentials(coturn.udp, 'ada')] }, index) =>
    new PeerNegotiation({
      signaling: pair[index]!,
      offerer: index === 0,
      engine,
      iceServers: () => iceServers,
      iceTransportPolicy: () => iceTransportPolicy,
      trickle: true,
      diagnose: diagnoseTo((event) => events.push(event)),
    }).run(AbortSignal.timeout(60_000)),
  );
  for (const peer of peers) t.after(() => peer.then(({ connection }) => closeConnection(connection)));
  return (await Promise.all(peers)) as [ConnectedPeer, ConnectedPeer];
}

/** A path goes through TURN when either end of it is a relayed address. */
const paths = (peers: ConnectedPeer[]): Promise<string[]> =>
  Promise.all(
    peers.map(async ({ connection }) => {
      const { localCandidateType, remoteCandidateType } = await readStats(connection);
      return [localCandidateType, remoteCandidateType].includes('relay') ? 'turn' : 'direct';
    }),
  );

const names = (peers: ConnectedPeer[]): string[] => peers.map(({ engine }) => engine.name);
const fast = { engine: nodeDatachannelEngine };
const complete = { engine: weriftEngine };

suite('an engine without TURN', () => {
  for (const [name, offering, answering] of [
    ['on both sides', fast, fast],
    ['that offers', fast, complete],
    ['that answers', complete, fast],
  ] as const) {
    test(`${name} is replaced by one with it where no direct path is found, and that is told`, async (t) => {
      const events: DiagnosticEvent[] = [];
      const peers = await negotiate(t, { offering, answering, events });
      assert.deepEqual(names(peers), ['werift', 'werift']);
      assert.deepEqual(await paths(peers), ['turn', 'turn']);
      const changes = events.filter((event) => event.type === 'engine_changed');
      assert.equal(changes.length, [offering, answering].filter((side) => side === fast).length);
      for (const { from, to } of changes) assert.deepEqual([from, to], ['node-datachannel', 'werift']);
    });
  }

  test('is replaced where the only TURN server is reached by TCP, too', async (t) => {
    const side = { ...fast, iceServers: [credentials(coturn.tcp, 'ada')] };
    const peers = await negotiate(t, { offering: side, answering: side });
    assert.deepEqual(await paths(peers), ['turn', 'turn']);
  });

  test('is replaced from the start where only TURN is allowed', async (t) => {
    const events: DiagnosticEvent[] = [];
    const peers = await negotiate(t, { offering: fast, answering: fast, iceTransportPolicy: 'relay', events });
    assert.deepEqual(names(peers), ['werift', 'werift']);
    assert.equal(events.filter(({ type }) => type === 'offer_sent').length, 1);
  });

  test('is replaced at once by an answerer whose offerer would not make another offer', async (t) => {
    const pair = behindStrictNats();
    // As versions of before, and implementations of others, which know neither word.
    for (const end of pair) {
      const send = end.send.bind(end);
      end.send = async (message: SignalMessage) =>
        send('sdp' in message ? { ...message, sdp: message.sdp.replace(/ (?:reoffer|turn=later)/g, '') } : message);
    }
    const clock = new OwnTime(t);
    const peers = await negotiate(t, { offering: complete, answering: fast, pair });
    assert.deepEqual(names(peers), ['werift', 'werift']);
    assert.deepEqual(await paths(peers), ['turn', 'turn']);
    assert(clock.ms < 20_000);
  });

  test('stays where there is a direct path', async (t) => {
    const events: DiagnosticEvent[] = [];
    const peers = await negotiate(t, { offering: fast, answering: fast, strict: false, events });
    assert.deepEqual(names(peers), ['node-datachannel', 'node-datachannel']);
    assert.deepEqual(await paths(peers), ['direct', 'direct']);
    assert(!events.some(({ type }) => type === 'engine_changed'));
  });
});
