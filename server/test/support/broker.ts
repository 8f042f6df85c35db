import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type {
  Broker,
  Change,
  Group,
  Holding,
  Instance,
  Message,
  LocalPeer,
  RelayedFrame,
} from '../../src/broker/broker.ts';
import { RedisBroker } from '../../src/broker/redis.ts';
import { digest, newPeerId, newResumeSecret, type RoomKey, roomKeyOf } from '../../src/rooms/ids.ts';
import { createLogger } from '../../src/log.ts';
import { createMetrics, type Scraped } from '../../src/metrics.ts';

/** In milliseconds: nothing ends by itself while a test runs, on a busy machine either. */
export const options = {
  resumeWindowMs: 60_000,
  leaseMs: 60_000,
  maxClientsPerRoom: 8,
  relayed: { bytesPerSecond: 524_288, burst: 1_048_576 },
};
const log = createLogger('silent');
/** Of a relay without peers. */
export const scraped: Scraped = {
  ready: () => true,
  draining: () => false,
  rooms: () => 0,
  keysOutdated: () => false,
  unread: () => 0,
  unsent: () => 0,
  relayedWaiting: () => 0,
  webhooksWaiting: () => 0,
};
export const testMetrics = createMetrics(scraped);
export type Times = Partial<Pick<typeof options, 'resumeWindowMs' | 'leaseMs'>>;
/** A broker of an instance on this Redis. */
export const onRedis = (url: string, times: Times = {}): Broker =>
  new RedisBroker({ url, ca: undefined }, { ...options, ...times }, log, testMetrics);

/** An instance that writes down what its broker tells it. */
class Recorder implements Instance {
  readonly changes: Change[] = [];
  readonly messages: Message[] = [];
  readonly relayed: RelayedFrame[] = [];
  readonly groups: Group[] = [];
  held: Holding[] = [];
  readonly left = new Set<LocalPeer>();
  holdings(): Holding[] {
    return this.held;
  }
  holds(peer: LocalPeer): boolean {
    return !this.left.has(peer) && this.held.some(({ peers }) => peers.includes(peer));
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
  onrelayed(frame: RelayedFrame): void {
    this.relayed.push(frame);
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
export const newRoom = (): RoomKey => roomKeyOf('', `room ${rooms++}`);

export const newPeer = (room: RoomKey, role: 'server' | 'client', sub = `${role}-1`, process = ''): LocalPeer => ({
  room,
  id: newPeerId(),
  resumeDigest: digest(newResumeSecret()),
  role,
  process,
  claims: { sub, role, exp: 4_000_000_000, scope: 'a:b "quoted" ü' },
  since: 1_800_000_000_000,
});

export const ids = (group: Group): string[] => group.members.map(({ id }) => id);
