import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Broker, Change, Group, Holding, Instance, Message, Seat } from '../../src/broker/broker.ts';
import { RedisBroker } from '../../src/broker/redis.ts';
import { digest, newPeerId, newResumeSecret } from '../../src/rooms/ids.ts';
import { createLogger } from '../../src/log.ts';
import { createMetrics } from '../../src/metrics.ts';

/** Short times, which the tests can wait for, in milliseconds. */
export const options = { resumeWindowMs: 200, leaseMs: 600, maxClientsPerRoom: 8 };
const log = createLogger('silent');
const metrics = createMetrics({
  ready: () => true,
  draining: () => false,
  rooms: () => 0,
  keysOutdated: () => false,
  unread: () => 0,
  unsent: () => 0,
});
/** A broker of an instance on this Redis. */
export const onRedis = (url: string, leaseMs = options.leaseMs): Broker =>
  new RedisBroker({ url, ca: undefined }, { ...options, leaseMs }, log, metrics);

/** An instance that writes down what its broker tells it. */
class Recorder implements Instance {
  readonly changes: Change[] = [];
  readonly messages: Message[] = [];
  readonly groups: Group[] = [];
  held: Holding[] = [];
  readonly left = new Set<Seat>();
  holdings(): Holding[] {
    return this.held;
  }
  holds(seat: Seat): boolean {
    return !this.left.has(seat) && this.held.some(({ seats }) => seats.includes(seat));
  }
  onchange(change: Change): void {
    this.changes.push(change);
  }
  ongroup(_room: string, _role: string, group: Group): void {
    this.groups.push(group);
  }
  onmessage(message: Message): void {
    this.messages.push(message);
  }
  /** Changes in the order of their versions, in short. */
  get steps(): string[] {
    return this.changes.map(({ id, state }) => `${id} ${state}`);
  }
}

export interface Node {
  broker: Broker;
  local: Recorder;
}

export async function open(t: TestContext, broker: Broker): Promise<Node> {
  const local = new Recorder();
  await broker.start(local);
  t.after(() => broker.close());
  assert.equal(broker.ready, true);
  return { broker, local };
}

let rooms = 0;
export const newRoom = (): string => JSON.stringify(['', `room ${rooms++}`]);

export const seat = (room: string, role: 'server' | 'client', sub = `${role}-1`, process = ''): Seat => ({
  room,
  id: newPeerId(),
  connection: digest(newResumeSecret()),
  role,
  process,
  claims: { sub, role, exp: 4_000_000_000, scope: 'a:b "quoted" ü' },
  since: 1_800_000_000_000,
});

export const ids = (group: Group): string[] => group.members.map(({ id }) => id);
