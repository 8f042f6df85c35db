import { figure, type Line, table, withSpread } from '../lib/report.ts';
import type { BridgeRow } from './main.ts';

/** What docs/internals/performance.md promises for each engine. */
const promises = {
  'node-datachannel': { startMs: 180, callMs: 0.3, largeMbs: 80, nearMb: 90 },
  werift: { startMs: 200, callMs: 0.5, largeMbs: 30, nearMb: 100 },
};

export const bridgeTable = (rows: readonly BridgeRow[]): string =>
  table(
    [
      '',
      'first tools/list',
      '× stdio',
      'call',
      '× stdio',
      '1 MB results',
      '× stdio',
      '2,000 calls at once',
      'near',
      'far',
    ],
    rows.map(({ name, start, call, large, burst, near, far }) => [
      name,
      withSpread(start.value, 'ms'),
      figure(start.ratio.median),
      withSpread(call.value, 'ms'),
      figure(call.ratio.median),
      withSpread(large.value, 'MB/s'),
      figure(large.ratio.median),
      withSpread(burst.value, 'calls/s'),
      figure(near, 'MB'),
      figure(far, 'MB'),
    ]),
  );

export function bridgeLines(rows: readonly BridgeRow[]): Line[] {
  const peers = rows.find(({ name }) => name.startsWith('supergateway'));
  return Object.entries(promises).flatMap(([engine, { startMs, callMs, largeMbs, nearMb }]): Line[] => {
    const row = rows.find(({ name }) => name.endsWith(engine));
    if (!row) return [];
    const { start, call, large, burst, near, far } = row;
    const own = [
      { what: `${engine}: spawn to tools/list, ms`, measured: start.value.median, atMost: startMs },
      { what: `${engine}: a call, ms`, measured: call.value.median, atMost: callMs },
      { what: `${engine}: a result of 1 MB, ms`, measured: 1000 / large.value.median, atMost: 1000 / largeMbs },
      { what: `${engine}: resident memory near, MB`, measured: near, atMost: nearMb },
    ];
    if (!peers) return own;
    const beside = [
      ['spawn to tools/list', start.value.median / peers.start.value.median],
      ['a call', call.value.median / peers.call.value.median],
      ['a result of 1 MB', peers.large.value.median / large.value.median],
      ['2,000 calls at once', peers.burst.value.median / burst.value.median],
      ['resident memory near', near / peers.near],
      ['resident memory far', far / peers.far],
    ] as const;
    return [
      ...own,
      ...beside.map(([what, measured]) => ({
        what: `${engine}: ${what}, × supergateway + mcp-remote`,
        measured,
        atMost: 1,
      })),
    ];
  });
}
