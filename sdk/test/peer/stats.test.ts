import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import type { RtcStats } from '../../src/peer/engine.ts';
import { readStats } from '../../src/peer/stats.ts';

const pair = { nominated: true, state: 'succeeded', localCandidateId: 'local', remoteCandidateId: 'remote' };
const local = { id: 'local', type: 'local-candidate', candidateType: 'host', protocol: 'udp' };
const remote = { id: 'remote', type: 'remote-candidate', address: '198.51.100.20', port: 50_000 };

const connection = (...reports: RtcStats[]) => ({
  getStats: async () => [{ id: 'pair', type: 'candidate-pair', ...pair }, local, ...reports],
});

void suite('what an engine tells of its path', () => {
  test('a peer-reflexive candidate is what the other side calls it: its TURN address is no direct path', async () => {
    const learned = { ...remote, candidateType: 'prflx' };
    assert.equal((await readStats(connection(learned))).path, 'direct');
    for (const told of ['relay', 'srflx']) {
      const stats = await readStats(connection(learned, { ...remote, id: 'told', candidateType: told }));
      assert.equal(stats.remoteCandidateType, told);
      assert.equal(stats.path, told === 'relay' ? 'turn' : 'direct');
    }
    // Another address of the other side says nothing.
    const other = { ...remote, id: 'other', port: 50_001, candidateType: 'relay' };
    assert.equal((await readStats(connection(learned, other))).remoteCandidateType, 'prflx');
  });
});
