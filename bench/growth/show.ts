import { barPlot } from '../lib/plot.ts';
import { figure, type Line, table } from '../lib/report.ts';
import type { InstancesRow } from './instances.ts';
import type { Growth } from './main.ts';
import { assumed, type Costs, type Model, type Scale } from './model.ts';
import type { PeersRow } from './peers.ts';
import type { RoomsRow } from './rooms.ts';

/** Everything as text, table by table. */
export const growthTables = ({ peers, rooms, instances, model, scales }: Growth): string[] => [
  peersTable(peers),
  roomsTable(rooms),
  instancesTable(instances),
  modelTable(model),
  scalesTable(scales),
];

const peersTable = (rows: readonly PeersRow[]): string =>
  table(
    'idle peers, all joined after, CPU/join, CPU/signal, × none, RSS/peer, heap/peer, idle CPU, loop delay p99'.split(
      ', ',
    ),
    rows.map((row) => [
      String(row.peers),
      figure(row.stormSeconds, 's'),
      figure(row.cpuPerJoin, 'µs'),
      figure(row.cpuPerSignal.value.median, 'µs'),
      figure(row.cpuPerSignal.ratio.median),
      figure(row.rssPerPeer / 1024, 'KB'),
      figure(row.heapPerPeer / 1024, 'KB'),
      `${figure(row.idleCpu * 100)} %`,
      figure(row.delay.p99, 'ms'),
    ]),
  );

const roomsTable = (rows: readonly RoomsRow[]): string =>
  table(
    ['clients in a room', 'rooms', 'CPU/join', 'CPU/signal'],
    rows.map((row) => [
      String(row.clients),
      String(row.rooms),
      figure(row.cpuPerJoin, 'µs'),
      figure(row.cpuPerSignal, 'µs'),
    ]),
  );

const instancesTable = (rows: readonly InstancesRow[]): string =>
  table(
    'instances, CPU/join, CPU/signal, × alone, CPU/lone signal, × alone, instructions, of a lone one, Redis CPU/join, CPU/signal, commands/join, commands/signal, memory/peer'.split(
      ', ',
    ),
    rows.map((row) => [
      String(row.instances),
      figure(row.cpuPerJoin, 'µs'),
      figure(row.cpuPerSignal.value.median, 'µs'),
      figure(row.cpuPerSignal.ratio.median),
      figure(row.cpuPerLoneSignal.value.median, 'µs'),
      figure(row.cpuPerLoneSignal.ratio.median),
      figure(row.instructionsPerSignal ?? NaN),
      figure(row.instructionsPerLoneSignal ?? NaN),
      figure(row.redisCpuPerJoin, 'µs'),
      figure(row.redisCpuPerSignal, 'µs'),
      figure(row.redisCommandsPerJoin),
      figure(row.redisCommandsPerSignal),
      figure(row.redisMemoryPerPeer / 1024, 'KB'),
    ]),
  );

function modelTable({ alone, together, redis }: Model): string {
  const row = (name: string, costs: Costs): string[] => [
    name,
    figure(costs.join, 'µs'),
    figure(costs.signal, 'µs'),
    figure(costs.peerSecond, 'µs'),
    figure(costs.instanceSecond / 1000, 'ms'),
  ];
  return table(
    ['fitted CPU', 'a join', 'a signal', 'an idle peer, a second', 'an instance, a second'],
    [row('one instance', alone), row('instances with Redis, all together', together), row('their Redis', redis)],
  );
}

function scalesTable(scales: readonly Scale[]): string {
  const shards = `shards at ${assumed.shardLoad * 100} %`;
  const what = 'idle peers, instances, their CPU, their memory, Redis CPU, Redis memory, all join again in, bound by';
  return table(
    [...what.split(', '), shards],
    scales.map((scale) => [
      scale.peers.toLocaleString('en'),
      String(scale.instances),
      figure(scale.cores, 'cores'),
      figure(scale.memoryBytes / 2 ** 30, 'GB'),
      figure(scale.redisCores, 'cores'),
      figure(scale.redisBytes / 2 ** 30, 'GB'),
      figure(scale.stormSeconds, 's'),
      scale.bound,
      String(scale.redisShards),
    ]),
  );
}

export function growthLines({ peers, rooms, instances }: Growth): Line[] {
  const [first, last] = [peers[0], peers.at(-1)];
  const [fewest, most] = [instances.find((row) => row.instances > 1), instances.at(-1)];
  const [small, large] = [rooms[0], rooms.at(-1)];
  if (!first || !last || !fewest || !most || !small || !large) return [];
  const flat = (what: string, from: number, to: number): Line => ({ what, measured: to / from, atMost: 1.5 });
  const scope = `${most.instances} to ${fewest.instances} instances`;
  const span = `${last.peers} to ${first.peers} peers`;
  return [
    { what: `event-loop delay p99 with ${last.peers} idle peers, ms`, measured: last.delay.p99, atMost: 20 },
    { what: `idle CPU with ${last.peers} peers, %`, measured: last.idleCpu * 100, atMost: 2 },
    flat(`CPU per signal, ${span}`, first.cpuPerSignal.ratio.median, last.cpuPerSignal.ratio.median),
    flat(`CPU per join, ${span}`, first.cpuPerJoin, last.cpuPerJoin),
    flat(`heap per peer, ${span}`, first.heapPerPeer, last.heapPerPeer),
    flat(`CPU per signal, ${large.clients} to ${small.clients} clients a room`, small.cpuPerSignal, large.cpuPerSignal),
    flat(`CPU per signal, ${scope}, many at once`, fewest.cpuPerSignal.ratio.median, most.cpuPerSignal.ratio.median),
    flat(
      `CPU per signal, ${scope}, each alone`,
      fewest.cpuPerLoneSignal.ratio.median,
      most.cpuPerLoneSignal.ratio.median,
    ),
    ...counted(
      `instructions per signal, ${scope}, many at once`,
      fewest.instructionsPerSignal,
      most.instructionsPerSignal,
    ),
    ...counted(
      `instructions per signal, ${scope}, each alone`,
      fewest.instructionsPerLoneSignal,
      most.instructionsPerLoneSignal,
    ),
  ];
}

/** Nothing where they cannot be counted. */
function counted(what: string, from: number | undefined, to: number | undefined): Line[] {
  return from === undefined || to === undefined ? [] : [{ what, measured: to / from, atMost: 1.5 }];
}

export function growthPlot({ peers, rooms, instances }: Growth): string {
  const byPeers = (value: (row: PeersRow) => number) =>
    peers.map((row) => ({ name: `${row.peers} peers`, value: value(row) }));
  const byInstances = (value: (row: InstancesRow) => number) =>
    instances.map((row) => ({ name: `${row.instances} instances`, value: value(row) }));
  return barPlot([
    { title: 'CPU per signal', unit: 'µs', bars: byPeers((row) => row.cpuPerSignal.value.median) },
    { title: 'CPU per join', unit: 'µs', bars: byPeers((row) => row.cpuPerJoin) },
    { title: 'Memory per idle peer, live objects', unit: 'KB', bars: byPeers((row) => row.heapPerPeer / 1024) },
    { title: 'Idle CPU of one instance', unit: '%', bars: byPeers((row) => row.idleCpu * 100) },
    {
      title: 'CPU per signal',
      unit: 'µs',
      bars: rooms.map((row) => ({ name: `${row.clients} clients a room`, value: row.cpuPerSignal })),
    },
    { title: 'CPU per signal, all instances', unit: 'µs', bars: byInstances((row) => row.cpuPerSignal.value.median) },
    { title: 'Redis CPU per join', unit: 'µs', bars: byInstances((row) => row.redisCpuPerJoin) },
  ]);
}
