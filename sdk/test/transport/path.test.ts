import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { MemorySignaling, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { eventually } from '../../../test/support/wait.ts';
import type { Engine, RtcStats } from '../../src/peer/engine.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import type { TransportStats } from '../../src/peer/stats.ts';
import { type KnownPath, PathReader } from '../../src/transport/path-reader.ts';
import { ManualClock } from '../manual-clock.ts';

/** What an engine tells of a pair of candidates. */
const pair = (local: string, remote: string): RtcStats[] =>
  [
    {
      id: 'pair',
      type: 'candidate-pair',
      nominated: true,
      state: 'succeeded',
      localCandidateId: 'l',
      remoteCandidateId: 'r',
    },
    { id: 'l', type: 'local-candidate', candidateType: local },
    { id: 'r', type: 'remote-candidate', candidateType: remote },
  ] as RtcStats[];

void suite('the path of a connection', () => {
  test('is not known before the engine tells of a pair, and is told then', async (t) => {
    let reports: RtcStats[] = [];
    let asked = 0;
    const rtc: Engine = {
      ...weriftEngine,
      createPeerConnection(...args) {
        const connection = weriftEngine.createPeerConnection(...args);
        connection.getStats = async () => {
          asked++;
          return reports;
        };
        return connection;
      },
    };
    const [near, far] = MemorySignaling.pair();
    const client = new WebRTCClientTransport({ signaling: near, rtc });
    const server = new WebRTCServerTransport({ signaling: far });
    t.after(() => Promise.all([client.close(), server.close()]));
    const told: string[] = [];
    client.onpathchange = (path) => told.push(path);
    await Promise.all([client.start(), server.start()]);
    const before = asked;
    await eventually(() => asked > before);
    assert.deepEqual([client.path, told], [undefined, []]);
    reports = pair('host', 'prflx');
    const then = asked;
    await eventually(() => asked > then);
    assert.deepEqual([client.path, told], [undefined, []]);
    reports = pair('host', 'relay');
    await eventually(() => client.path !== undefined);
    assert.deepEqual([client.path, told], ['turn', ['turn']]);
  });

  const unknown: TransportStats = {};
  const reflexive: TransportStats = { path: 'direct', localCandidateType: 'host', remoteCandidateType: 'prflx' };
  const turn: TransportStats = { path: 'turn', localCandidateType: 'host', remoteCandidateType: 'relay' };

  /** Asks, with what the engine tells at first; the rest is the test's. */
  async function reading(stats: TransportStats | undefined, former?: KnownPath['path']) {
    const clock = new ManualClock();
    const told: KnownPath['path'][] = [];
    const engine = { stats };
    const read = async (): Promise<TransportStats> => {
      if (!engine.stats) throw new Error('no connection');
      return engine.stats;
    };
    const reader = new PathReader(read, ({ path }) => told.push(path), clock);
    reader.ask(former);
    await clock.advance(0);
    return { clock, told, engine, reader };
  }

  test('of before stays after an ICE restart until another one is known, however late', async () => {
    for (const former of ['turn', 'direct'] as const) {
      for (const stats of [unknown, reflexive, undefined]) {
        const { clock, told, engine } = await reading(stats, former);
        await clock.advance(1_000);
        assert.deepEqual(told, []);
        engine.stats = turn;
        await clock.advance(10_000);
        assert.deepEqual([told, clock.timers], [['turn'], 0]);
      }
    }
    const { clock, told, engine } = await reading(unknown, 'turn');
    await clock.advance(3_600_000);
    assert.deepEqual(told, []);
    engine.stats = { path: 'direct', localCandidateType: 'host', remoteCandidateType: 'host' };
    await clock.advance(10_000);
    assert.deepEqual([told, clock.timers], [['direct'], 0]);
  });

  test('is taken for direct where nothing better is known for a while', async () => {
    for (const stats of [unknown, reflexive, undefined]) {
      const { clock, told, engine } = await reading(stats, 'relayed');
      await clock.advance(1_400);
      assert.deepEqual(told, []);
      await clock.advance(600);
      assert.deepEqual(told, ['direct']);
      engine.stats = turn;
      await clock.advance(10_000);
      assert.deepEqual([told, clock.timers], [['direct', 'turn'], 0]);
    }
    const behindNat = await reading(reflexive, 'turn');
    await behindNat.clock.advance(60_000);
    assert.deepEqual([behindNat.told, behindNat.clock.timers], [['direct'], 0]);
  });

  test('is not asked for any more when it is lost, nor twice when it is another one', async () => {
    const { clock, told, engine, reader } = await reading(unknown);
    reader.ask(undefined);
    await clock.advance(0);
    assert.equal(clock.timers, 1);
    engine.stats = turn;
    reader.stop();
    await clock.advance(60_000);
    assert.deepEqual([told, clock.timers], [[], 0]);
  });
});
