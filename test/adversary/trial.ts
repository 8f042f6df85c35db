import { randomUUID } from 'node:crypto';
import { loadavg } from 'node:os';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { Fleet } from '../faults/fleet.ts';
import { RedisServer } from '../support/redis.ts';
import { testSecret } from '../support/relay.ts';
import { eventually, within } from '../support/wait.ts';
import type { EndReport, Place } from './end.ts';
import { openPageEnd, type RemoteEnd, startNodeEnd } from './ends.ts';
import { Hosts } from './hosts.ts';
import type { NodeEngine } from './node-end.ts';
import { blackouts, longestByFault, longestPauseMs } from './pauses.ts';
import { type Fault, faults, type Manner, Storm } from './storm.ts';
import { pause } from './stream.ts';

/**
 * `chromium`: a page at one end, and at the other one Node; which, and with which engine, depends
 * on the seed.
 */
export type EngineName = NodeEngine | 'chromium';

export interface Scale {
  /** Numbered messages each way. */
  messages: number;
  /** `tools/call` requests. */
  calls: number;
  stormMs: number;
}

export const scales: Record<Manner, Record<'full' | 'short', Scale>> = {
  storm: {
    full: { messages: 10_000, calls: 200, stormMs: 40_000 },
    short: { messages: 1_000, calls: 40, stormMs: 15_000 },
  },
  apart: {
    full: { messages: 10_000, calls: 200, stormMs: 120_000 },
    short: { messages: 1_000, calls: 40, stormMs: 20_000 },
  },
};

/**
 * What a peer may send for relayed data: so much that a pause is not the time that a large message
 * takes at the usual rate.
 */
const relayed = { MAX_RELAYED_BYTES_PER_SECOND: '1048576' };
const relays = 2;
/** A session whose messages come at least so often is calm. */
const calmMs = 600;

/**
 * After the storm everything has to arrive, however slow the machine is: it has failed when nothing
 * comes for so long,
 */
const stalledMs = 45_000;
/** or in all for so long. */
const arrivedMs = 300_000;
const lookEveryMs = 200;

/** What one seed brought. */
export interface Outcome {
  seed: number;
  engine: string;
  scale: Scale;
  faults: Storm['counts'];
  /** The longest pause that each kind of fault has brought, while there was a way. */
  pauses: Map<Fault | 'none', number>;
  server: EndReport;
  client: EndReport;
  /** What was not as promised; empty when all was. */
  problems: string[];
  /** Pauses that were longer than promised: on a machine that is busy elsewhere they may be its. */
  slow: string[];
  /** The machine's load average: above its cores a pause may be the machine's. */
  load: number;
  /** Everything that happened, in order. */
  events: string[];
}

export interface Weather {
  engine: EngineName;
  seed: number;
  manner: Manner;
  scale: Scale;
  /** These faults happen. */
  only?: readonly Fault[];
}

/** One session through one storm. */
export async function weather({ engine, seed, manner, scale, only = faults }: Weather): Promise<Outcome> {
  await using stack = new AsyncDisposableStack();
  const hosts = await Hosts.create();
  stack.defer(() => hosts.remove());
  const redis = await RedisServer.start();
  stack.defer(() => redis.stop());
  const fleet = await Fleet.start(relays, () => ({ REDIS_URL: redis.url, ...relayed }), hosts.address);
  stack.defer(() => fleet.stop());
  const { names, start } = cast(engine, seed, hosts);
  const server = await start.server();
  stack.defer(() => server.stop());
  const client = await start.client();
  stack.defer(() => client.stop());
  const ends = { server, client };

  const room = randomUUID();
  const place = async (role: 'server' | 'client'): Promise<Place> => ({
    relay: fleet.url,
    token: await createRoomToken({ key: testSecret, room, role, subject: role, ttl: 3600 }),
  });
  await within(server.serve(await place('server')), 'the server to join', 30_000);
  await within(client.connect(await place('client')), 'the client to connect', 30_000);
  const { messages, calls, stormMs: durationMs } = scale;
  await server.begin({ seed, messages, calls, durationMs });
  await client.begin({ seed: -seed, messages, calls, durationMs });

  await using watch = await Watch.start(ends);
  const storm = new Storm(
    {
      hosts,
      fleet,
      ends,
      silentMs: () => watch.silentMs(scale),
      calm: () => watch.calm(scale),
      over: () => watch.ended,
    },
    seed,
    only,
  );
  await storm.rage(durationMs, manner);
  const problems: string[] = [];
  const settled = () => watch.ended || watch.complete(scale) || watch.silentMs(scale) > stalledMs;
  await eventually(settled, arrivedMs, 'everything arrives').catch(keep(problems));
  const reports = await watch.look();
  problems.push(...wrong(reports, scale));
  const pauses = pausesIn(storm, reports);
  if (problems.length === 0) await within(client.leave(), 'the client to leave', 30_000).catch(keep(problems));
  return {
    seed,
    engine: names,
    scale,
    faults: storm.counts,
    pauses,
    ...reports,
    problems,
    slow: tooLong(pauses),
    load: loadavg()[0]!,
    events: chronicle(storm.events, reports, ends),
  };
}

const keep = (problems: string[]) => (error: Error) => void problems.push(error.message);

/** Who plays the two ends. */
function cast(engine: EngineName, seed: number, { server, client }: Hosts) {
  if (engine !== 'chromium') {
    return {
      names: engine,
      start: { server: async () => startNodeEnd(server, engine), client: async () => startNodeEnd(client, engine) },
    };
  }
  const other: NodeEngine = seed % 4 < 2 ? 'werift' : 'node-datachannel';
  return seed % 2 === 0
    ? {
        names: `${other} ← Chromium`,
        start: { server: async () => startNodeEnd(server, other), client: () => openPageEnd(client) },
      }
    : {
        names: `Chromium ← ${other}`,
        start: { server: () => openPageEnd(server), client: async () => startNodeEnd(client, other) },
      };
}

type Reports = Record<'server' | 'client', EndReport>;

/** Looks at both ends all the time. */
class Watch implements AsyncDisposable {
  readonly #ends: Record<'server' | 'client', RemoteEnd>;
  #latest: Reports;
  #stopped = false;
  #gone = false;
  #running = Promise.resolve();

  private constructor(ends: Record<'server' | 'client', RemoteEnd>, first: Reports) {
    this.#ends = ends;
    this.#latest = first;
  }

  static async start(ends: Record<'server' | 'client', RemoteEnd>): Promise<Watch> {
    const watch = new Watch(ends, await reportsOf(ends));
    // An end whose process has ended says why to the next one who asks.
    watch.#running = watch.#run().catch(() => void (watch.#gone = true));
    return watch;
  }

  /**
   * For how long nothing has come, at the end where that is longer, and where not everything has
   * come.
   */
  silentMs({ messages }: Scale): number {
    return Math.max(
      0,
      ...this.#all.filter(({ received }) => received < messages).map(({ sinceArrivalMs }) => sinceArrivalMs),
    );
  }

  calm(scale: Scale): boolean {
    const away = ({ carried }: EndReport): boolean => carried.at(-1)?.path !== 'direct';
    return !this.#all.some(away) && this.silentMs(scale) < calmMs;
  }

  get ended(): boolean {
    return this.#gone || this.#all.some(({ state }) => state === 'closed');
  }

  complete({ messages, calls }: Scale): boolean {
    const { client } = this.#latest;
    return (
      this.#all.every(({ received, state }) => received === messages && state === 'connected') &&
      client.answered + client.failed === calls
    );
  }

  async look(): Promise<Reports> {
    this.#latest = await reportsOf(this.#ends);
    return this.#latest;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  get #all(): EndReport[] {
    return [this.#latest.server, this.#latest.client];
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      await this.look();
      await pause(lookEveryMs);
    }
  }
}

async function reportsOf(ends: Record<'server' | 'client', RemoteEnd>): Promise<Reports> {
  const [server, client] = await Promise.all([ends.server.report(), ends.client.report()]);
  return { server, client };
}

function wrong({ server, client }: Reports, { messages, calls }: Scale): string[] {
  const counts = (of: string, end: EndReport): [string, number, number][] => [
    [`messages sent by the ${of}`, end.sent, messages],
    [`messages that reached the ${of}`, end.received, messages],
    [`doubled at the ${of}`, end.doubled, 0],
    [`reordered at the ${of}`, end.reordered, 0],
    [`damaged at the ${of}`, end.damaged, 0],
  ];
  const all: [string, number, number][] = [
    ...counts('server', server),
    ...counts('client', client),
    ['calls answered', client.answered, calls],
    ['calls failed', client.failed, 0],
    ['calls carried out', server.ran, calls],
    ['calls carried out more than once', server.ranAgain, 0],
  ];
  const states = Object.entries({ server, client }).filter(([, { state }]) => state !== 'connected');
  return [
    ...all
      .filter(([, count, promised]) => count !== promised)
      .map(([what, ...counted]) => `${what}: ${counted.join(', promised ')}`),
    ...states.map(([end, { state }]) => `the ${end} is ${state}`),
  ];
}

function pausesIn({ strikes }: Storm, { server, client }: Reports): Outcome['pauses'] {
  const ends = [server, client];
  const out = blackouts(
    strikes,
    relays,
    ends.map(({ carried }) => carried),
  );
  return longestByFault(
    ends.flatMap((end) => end.pauses),
    strikes,
    out,
  );
}

const tooLong = (pauses: Outcome['pauses']): string[] =>
  [...pauses]
    .filter(([, longest]) => longest > longestPauseMs)
    .map(([fault, longest]) => `${(longest / 1000).toFixed(1)} s of pause after a fault of: ${fault}, promised 4.0 s`);

function chronicle(storm: string[], reports: Reports, ends: Record<'server' | 'client', RemoteEnd>): string[] {
  const sides = ['server', 'client'] as const;
  const told = sides.flatMap((side) => {
    const { events, pauses } = reports[side];
    const noted = pauses.map(
      ({ from, until }) =>
        `${new Date(until).toISOString()} something comes again, after ${((until - from) / 1000).toFixed(1)} s`,
    );
    return [...events, ...noted].map((event) => event.replace(/^(\S+) /, `$1 ${side} `));
  });
  const output = sides.flatMap((side) => (ends[side].output ? [`output of the ${side}:\n${ends[side].output}`] : []));
  return [...[...storm.map((event) => event.replace(/^(\S+) /, '$1 * ')), ...told].toSorted(), ...output];
}
