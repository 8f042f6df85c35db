import { compare } from '../lib/compare.ts';
import { Contender, type Memory } from './measures.ts';
import type { Subject } from './subject.ts';
import { floor } from './subjects/floor.ts';
import { rendezvous } from './subjects/rendezvous.ts';

/** How much of each measure. Times in milliseconds. */
interface Plan {
  /** Rooms that signals go through. */
  rooms: number;
  signalBudget: number;
  signalSlice: number;
  joinBudget: number;
  joinRooms: number;
  idleRooms: number;
  idleRuns: number;
}

const quickPlan: Plan = {
  rooms: 40,
  signalBudget: 8000,
  signalSlice: 500,
  joinBudget: 7000,
  joinRooms: 60,
  idleRooms: 1200,
  idleRuns: 2,
};

/** Rooms that are opened before memory is counted, so that what is grown once is grown. */
const firstRooms = 20;

/** `npm run bench -- relay --quick`: this relay against the floor, within 50 s on a busy machine. */
export async function quick(): Promise<Record<string, unknown>> {
  const subjects = [floor, rendezvous];
  const memory = await idleMemory(subjects, quickPlan);
  const { signals, joins } = await cpu(subjects, quickPlan);
  const ratio = (of: keyof Memory): number => (memory[1]?.[of] ?? NaN) / (memory[0]?.[of] ?? NaN);
  return {
    cpuPerSignalVsFloor: signals[1]?.ratio.median,
    memoryPerPeerVsFloor: ratio('live'),
    cpuPerJoinVsFloor: joins[1]?.ratio.median,
    rssPerPeerVsFloor: ratio('rss'),
    details: { signals, joins, memory },
  };
}

/** Bytes for one more idle peer. Each run in a process of its own: what one has grown and kept would hide what the next one needs. */
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
    live: Math.min(...own.map(({ live }) => live)),
  }));
}

async function cpu(subjects: readonly Subject[], plan: Plan) {
  const contenders = await Promise.all(subjects.map((subject) => Contender.start(subject)));
  try {
    // The first rounds pay for what is compiled once.
    for (const contender of contenders) {
      await contender.open(plan.rooms);
      await contender.cpuPerSignal(plan.signalSlice);
      await contender.cpuPerJoin(plan.joinRooms);
    }
    const signals = await compare(contenders, plan.signalBudget, (own) => own.cpuPerSignal(plan.signalSlice));
    const joins = await compare(contenders, plan.joinBudget, (own) => own.cpuPerJoin(plan.joinRooms));
    return { signals, joins };
  } finally {
    await Promise.all(contenders.map((contender) => contender.stop()));
  }
}
