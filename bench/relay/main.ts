import { ask, RedisServer } from '../../test/support/redis.ts';
import { compare, type Figure } from '../lib/compare.ts';
import { Contender, type Memory } from './measures.ts';
import type { Subject } from './subject.ts';
import { floor } from './subjects/floor.ts';
import { peerjs } from './subjects/peerjs.ts';
import { rendezvous } from './subjects/rendezvous.ts';
import { socketIo } from './subjects/socket-io.ts';
import { yWebrtc } from './subjects/y-webrtc.ts';

/** How much of each measure. Times in milliseconds. */
interface Plan {
  /** Rooms that signals go through. */
  rooms: number;
  signalBudget: number;
  signalSlice: number;
  joinBudget: number;
  joinRooms: number;
  /** Rooms that are opened and closed before joins are measured. */
  firstJoinRooms: number;
  idleRooms: number;
  idleRuns: number;
  latency: number;
}

const plans = {
  quick: {
    rooms: 40,
    signalBudget: 5000,
    signalSlice: 400,
    joinBudget: 5000,
    joinRooms: 40,
    firstJoinRooms: 600,
    idleRooms: 700,
    idleRuns: 1,
    latency: 300,
  },
  full: {
    rooms: 40,
    signalBudget: 16_000,
    signalSlice: 400,
    joinBudget: 12_000,
    joinRooms: 50,
    firstJoinRooms: 1000,
    idleRooms: 1000,
    idleRuns: 2,
    latency: 800,
  },
  guard: {
    rooms: 20,
    signalBudget: 3000,
    signalSlice: 300,
    joinBudget: 3000,
    joinRooms: 30,
    firstJoinRooms: 200,
    idleRooms: 200,
    idleRuns: 1,
    latency: 50,
  },
} satisfies Record<string, Plan>;

/** What was measured of one relay, beside the floor. */
export interface Row {
  name: string;
  /** CPU of all instances, in microseconds. */
  signal: Figure;
  join: Figure;
  /** One signal alone, in milliseconds. */
  latency: { p50: number; p99: number };
  /** Undefined with several instances: they share out the same peers. */
  memory?: Memory;
  /** Commands that Redis carried out for a signal; only with Redis. */
  redisCommandsPerSignal?: number;
}

/** Rooms that are opened before memory is counted, so that what is grown once is grown. */
const firstRooms = 600;

/**
 * This relay against the floor alone (`quick`, in less than a minute, and `guard`), or against the
 * others, and two instances with Redis, too.
 */
export async function measureRelays(effort: keyof typeof plans): Promise<Row[]> {
  const plan = plans[effort];
  const full = effort === 'full';
  const subjects = full ? [floor, rendezvous, peerjs, yWebrtc, socketIo] : [floor, rendezvous];
  const memory = await idleMemory(subjects, plan);
  const alone = await cpu(
    subjects.map((subject) => () => Contender.start(subject)),
    plan,
  );
  const rows = alone.map((row, index): Row => ({ ...row, memory: memory[index] ?? { rss: NaN, heap: NaN } }));
  return full ? [...rows, ...(await acrossInstances(plan))] : rows;
}

/**
 * Two instances with the peers of a room on different ones. The first row is the floor again, and
 * is left out.
 */
async function acrossInstances(plan: Plan): Promise<Row[]> {
  const redis = await RedisServer.start();
  const commands = async (): Promise<number> =>
    Number(/total_commands_processed:(\d+)/.exec(await ask(redis.port, 'INFO stats'))?.[1]);
  try {
    const start = (subject: Subject) => () => Contender.start(subject, 2, redis.url);
    const rows = await cpu([() => Contender.start(floor), start(rendezvous), start(socketIo)], plan, commands);
    return rows.slice(1).map((row) => ({ ...row, name: `${row.name}, 2 instances` }));
  } finally {
    await redis.stop();
  }
}

/**
 * Bytes for one more idle peer. Each run in a process of its own: what one has grown and kept would
 * hide what the next one needs.
 */
async function idleMemory(subjects: readonly Subject[], { idleRooms, idleRuns }: Plan): Promise<Memory[]> {
  const runs: Memory[][] = subjects.map(() => []);
  for (let run = 0; run < idleRuns; run++) {
    for (const [index, subject] of subjects.entries()) {
      const contender = await Contender.start(subject);
      try {
        await contender.open(firstRooms);
        runs[index]?.push(await contender.memoryPerPeer(idleRooms));
      } finally {
        await contender.stop();
      }
    }
  }
  // The least, because what disturbs only adds: pages that are half used.
  return runs.map((own) => ({
    rss: Math.min(...own.map(({ rss }) => rss)),
    heap: Math.min(...own.map(({ heap }) => heap)),
  }));
}

async function cpu(
  starts: readonly (() => Promise<Contender>)[],
  plan: Plan,
  commands?: () => Promise<number>,
): Promise<Row[]> {
  const contenders = await Promise.all(starts.map((start) => start()));
  try {
    // The first rounds pay for what V8 compiles once: of a join, all after a thousand of them.
    for (const contender of contenders) {
      await contender.open(plan.rooms);
      await contender.cpuPerSignal(plan.signalSlice * 2);
      for (let opened = 0; opened < plan.firstJoinRooms; opened += plan.joinRooms)
        await contender.cpuPerJoin(plan.joinRooms);
    }
    const signals = await compare(contenders, plan.signalBudget, (own) => own.cpuPerSignal(plan.signalSlice));
    const joins = await compare(contenders, plan.joinBudget, (own) => own.cpuPerJoin(plan.joinRooms));
    const rows: Row[] = [];
    for (const [index, contender] of contenders.entries()) {
      const [signal, join] = [signals[index], joins[index]];
      if (!signal || !join) continue;
      const row: Row = { name: contender.subject.name, signal, join, latency: await contender.latency(plan.latency) };
      if (commands) {
        const before = await commands();
        const arrived = await contender.signals(plan.signalSlice * 4);
        row.redisCommandsPerSignal = ((await commands()) - before) / arrived;
      }
      rows.push(row);
    }
    return rows;
  } finally {
    await Promise.all(contenders.map((contender) => contender.stop()));
  }
}
