import assert from 'node:assert/strict';
import { CandidateTally, explain } from '../peer/diagnosis.ts';
import { readStats } from '../peer/stats.ts';
import { type ContractCase, contractCase } from './case.ts';
import type { Engines } from './engines.ts';
import { gathered, negotiate, opening } from './rtc-pair.ts';

export function connectionCases({ create, connect, soon }: Engines): ContractCase[] {
  return [
    contractCase('the end is told once on either side', async (scope) => {
      const pair = await connect(scope);
      const ends: string[] = [];
      const both = new Promise<void>((resolve) => {
        const ended = (side: string) => () => {
          if (ends.push(side) === 2) resolve();
        };
        pair.near.onclose = ended('near');
        pair.far.onclose = ended('far');
      });
      await pair.offerer.close();
      await pair.offerer.close();
      await soon(both, 'both ends');
      await pair.answerer.close();
      assert.deepEqual(ends.toSorted(), ['far', 'near']);
      assert.deepEqual([pair.offerer.connectionState, pair.offerer.iceConnectionState], ['closed', 'closed']);
      assert.equal(pair.near.readyState, 'closed');
    }),

    contractCase('it has the states of WebRTC, and says how it is connected', async (scope) => {
      const { offerer, answerer } = create(scope);
      assert.deepEqual([offerer.connectionState, offerer.iceGatheringState], ['new', 'new']);
      const connected = [offerer, answerer].map(
        (connection) =>
          new Promise<void>((resolve) => {
            connection.onconnectionstatechange = () => {
              if (connection.connectionState === 'connected') resolve();
            };
          }),
      );
      const near = offerer.createDataChannel('mcp');
      const arrived = new Promise<string>((resolve) => {
        answerer.ondatachannel = ({ channel }) => resolve(channel.readyState);
      });
      await negotiate(offerer, answerer);
      await soon(Promise.all([...connected, opening(near), gathered(offerer), gathered(answerer)]), 'the connection');
      assert.equal(await soon(arrived, 'the channel'), 'open');
      near.send('x'.repeat(1000));
      for (const connection of [offerer, answerer]) {
        assert.match(connection.iceConnectionState, /^(connected|completed)$/);
        const stats = await readStats(connection);
        assert.match(stats.localCandidateType ?? '', /^(host|prflx)$/);
        assert.match(stats.remoteCandidateType ?? '', /^(host|prflx)$/);
        assert.equal(stats.protocol, 'udp');
        for (const figure of [stats.roundTripMs, stats.bytesSent, stats.bytesReceived]) {
          assert(figure !== undefined && figure >= 0);
        }
        assert.doesNotMatch(connection.localDescription?.sdp ?? '', /typ (srflx|relay)/);
      }
    }),

    contractCase('another certificate than the one in the SDP is refused', async (scope) => {
      const { offerer, answerer } = create(scope);
      const other = (sdp: string) =>
        sdp.replaceAll(/^(a=fingerprint:\S+ ..)(:[\dA-F]{2})+/gim, (line: string) =>
          line.replaceAll(/:[\dA-F]{2}(?=:|$)/gi, ':0F'),
        );
      const failed = new Promise<void>((resolve) => {
        offerer.onconnectionstatechange = () => {
          if (offerer.connectionState === 'failed') resolve();
        };
      });
      const near = offerer.createDataChannel('mcp');
      await negotiate(offerer, answerer, { tellOfferer: other });
      await soon(failed, 'the connection to fail');
      assert.match(offerer.iceConnectionState, /^(connected|completed)$/);
      assert.notEqual(offerer.connectionState, 'connected');
      assert.equal(near.readyState === 'open', false);
      assert.equal(explain(offerer, new CandidateTally()).code, 'dtls_untrusted');
    }),
  ];
}
