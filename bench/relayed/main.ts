import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { RawPeer } from '../../server/test/support/peer.ts';
import type { MeasuredProcess } from '../lib/process.ts';
import { quantile } from '../lib/stats.ts';
import type { Peer } from '../relay/subject.ts';
import { key, rendezvous, startRelay } from '../relay/subjects/rendezvous.ts';

/** A large result on the relayed path, and what signals of others took meanwhile. */
export interface TransferRow {
  roundTripMs: number;
  bytes: number;
  ms: number;
  whole: boolean;
  /** Of the rate that `joined` names. */
  share: number;
  /** Signals of two bystanders and back, in milliseconds, while nothing else happens. */
  idle: Waits;
  /** The same while the result travels through another relay of this machine. */
  elsewhere: Waits;
  /** The same while the result travels through this one. */
  meanwhile: Waits;
}

interface Waits {
  p50: number;
  p99: number;
}

/** Pairs whose clients do not read, and what that costs the relay. */
export interface StallRow {
  pairs: number;
  sentMiB: number;
  waitingMiB: number;
  /** Beyond the same peers that send nothing; `flowing`: when all of them read as much. */
  rssMiB: number;
  flowingRssMiB: number;
  heapMiB: number;
  closed: number;
}

export interface Relayed {
  transfers: TransferRow[];
  stalls: StallRow[];
}

const tenMebibytes = 10_485_760;
const everyMs = 5;

/** @param quick less of each, for a look */
export const measureRelayed = async (quick: boolean): Promise<Relayed> => ({
  transfers: await measureTransfers(quick),
  stalls: await measureStalls(quick),
});

async function measureTransfers(quick: boolean): Promise<TransferRow[]> {
  const [relay, other] = [await startRelay({}), await startRelay({})];
  const transfers: TransferRow[] = [];
  try {
    for (const roundTripMs of [0, 100]) transfers.push(await compare(relay, other, roundTripMs, quick));
  } finally {
    await Promise.all([relay.stop(), other.stop()]);
  }
  return transfers;
}

async function measureStalls(quick: boolean): Promise<StallRow[]> {
  const pairs = quick ? 100 : 1000;
  // What windows allow; what a sender that ignores them may send; the same in small frames.
  const stalls: StallRow[] = [];
  for (const [frames, bytes] of [
    [3, 16_384],
    [16, 16_384],
    [200, 200],
  ] as const)
    stalls.push(await stall(pairs, frames, bytes));
  return stalls;
}

/** The pair costs the machine as much with either relay: what is left is the relay's. */
async function compare(
  relay: MeasuredProcess,
  other: MeasuredProcess,
  roundTripMs: number,
  quick: boolean,
): Promise<TransferRow> {
  const bytes = quick ? tenMebibytes / 4 : tenMebibytes;
  const bystanders = await meet(relay, `bystanders ${roundTripMs}`);
  const idle = await watch(bystanders, sleep(quick ? 2000 : 10_000));
  const elsewhere = await transfer(other, roundTripMs, bytes, bystanders);
  const { ms, whole, waits } = await transfer(relay, roundTripMs, bytes, bystanders);
  const share = (bytes / ms) * (1000 / (await namedRate(relay)));
  const [of, meanwhile] = [summary(elsewhere.waits), summary(waits)];
  return { roundTripMs, bytes, ms, whole, share, idle: summary(idle), elsewhere: of, meanwhile };
}

/** A result through a relay, and what bystanders' signals took meanwhile. */
async function transfer(relay: MeasuredProcess, roundTripMs: number, bytes: number, bystanders: Bystanders) {
  const tokens = await Promise.all(
    (['client', 'server'] as const).map((role) =>
      createRoomToken({ key, room: `result ${roundTripMs}`, role, subject: role, ttl: '1h' }),
    ),
  );
  const file = fileURLToPath(new URL('pair.ts', import.meta.url));
  const pair = fork(file, [String(relay.port), String(roundTripMs / 2), String(bytes), ...tokens]);
  try {
    await answer(pair);
    const done = answer(pair) as Promise<{ ms: number; whole: boolean }>;
    pair.send('go');
    const waits = await watch(bystanders, done);
    const result = await done;
    return { ...result, waits };
  } finally {
    pair.kill();
  }
}

/** What a process says next. Rejects when it ends instead. */
async function answer(child: ChildProcess): Promise<unknown> {
  const ended = once(child, 'exit').then(() => {
    throw new Error('the pair ended');
  });
  const [message] = (await Promise.race([once(child, 'message'), ended])) as [unknown];
  return message;
}

/** The bytes per second that a peer is told. */
async function namedRate({ port }: MeasuredProcess): Promise<number> {
  const token = createRoomToken({ key, room: 'rate', role: 'client', subject: 'asks', ttl: '1h' });
  const peer = await RawPeer.join(`http://127.0.0.1:${port}`, token);
  peer.cut();
  return peer.joined.limits.relayed?.bytesPerSecond ?? NaN;
}

interface Bystanders {
  near: Peer;
  far: Peer;
}

async function meet({ port }: MeasuredProcess, room: string): Promise<Bystanders> {
  const far = await rendezvous.join(port, { room, role: 'server' });
  const told = once(far.socket, 'message');
  const near = await rendezvous.join(port, { room, role: 'client' });
  await told;
  far.onsignal = () => far.signal();
  return { near, far };
}

/** How long signals there and back take until something is over. */
async function watch({ near }: Bystanders, over: Promise<unknown>): Promise<number[]> {
  let isOver = false;
  const ended = over.finally(() => (isOver = true));
  const waits: number[] = [];
  while (!isOver) {
    const { promise, resolve } = Promise.withResolvers<void>();
    near.onsignal = resolve;
    const sentAt = performance.now();
    near.signal();
    await promise;
    waits.push(performance.now() - sentAt);
    await sleep(everyMs);
  }
  await ended;
  return waits;
}

const summary = (values: readonly number[]): Waits => ({ p50: quantile(values, 0.5), p99: quantile(values, 0.99) });

/**
 * In a network of its own whose kernel takes next to nothing of what is not read: elsewhere it
 * takes megabytes, and the relay has nothing to keep.
 */
async function stall(pairs: number, frames: number, bytes: number): Promise<StallRow> {
  const file = fileURLToPath(new URL('stall.ts', import.meta.url));
  const inside = [
    'ip link set lo up',
    'sysctl -qw net.ipv4.tcp_rmem="4096 16384 32768" net.ipv4.tcp_wmem="4096 16384 16384"',
    'exec "$@"',
  ].join('\n');
  const node = [process.execPath, '--conditions=mcp-rendezvous-source', file, ...[pairs, frames, bytes].map(String)];
  const own = process.getuid?.() === 0 ? [] : ['--map-root-user'];
  const child = spawn('unshare', [...own, '--net', 'sh', '-euc', inside, 'sh', ...node], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [said] = await Promise.all([text(child.stdout), once(child, 'close')]);
  return JSON.parse(said) as StallRow;
}
