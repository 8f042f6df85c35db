import { figure, type Line, table } from '../lib/report.ts';
import type { InstancesRow } from './instances.ts';
import type { Growth } from './main.ts';
import type { Costs, Model, Scale } from './model.ts';
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

export const peersTable = (rows: readonly PeersRow[]): string =>
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
  const what =
    'Idle peers, Instances, Their CPU, Their memory, Redis shards, Redis CPU, Redis memory, All join again in, Bound by';
  return table(
    what.split(', '),
    scales.map((scale) => [
      scale.peers.toLocaleString('en'),
      String(scale.instances),
      figure(scale.cores, 'cores'),
      figure(scale.memoryBytes / 2 ** 30, 'GB'),
      String(scale.redisShards),
      figure(scale.redisCores, 'cores'),
      figure(scale.redisBytes / 2 ** 30, 'GB'),
      figure(scale.stormSeconds, 's'),
      scale.bound,
    ]),
  );
}

/** What peers that do nothing cost. */
export const idleLines = ({ peers, delay, idleCpu, rssPerPeer, heapPerPeer, stormSeconds }: PeersRow): Line[] => {
  const count = peers.toLocaleString('en');
  return [
    { what: `CPU of ${count} idle peers, % of a core`, measured: idleCpu * 100, atMost: 3 },
    { what: '… event-loop delay p99, ms', measured: delay.p99, atMost: 20 },
    { what: '… resident memory of each, KB', measured: rssPerPeer / 1024 },
    { what: '… live objects of each, KB', measured: heapPerPeer / 1024 },
    { what: '… all joined after, s', measured: stormSeconds },
  ];
};

export function growthLines({ peers, rooms, instances }: Growth): Line[] {
  const [first, last] = [peers[0], peers.at(-1)];
  const [fewest, most] = [instances.find((row) => row.instances > 1), instances.at(-1)];
  const [small, large] = [rooms[0], rooms.at(-1)];
  if (!first || !last || !fewest || !most || !small || !large) return [];
  const flat = (what: string, from: number, to: number): Line => ({ what, measured: to / from, atMost: 1.5 });
  const scope = `${most.instances} to ${fewest.instances} instances`;
  const span = `${last.peers} to ${first.peers} peers`;
  return [
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
