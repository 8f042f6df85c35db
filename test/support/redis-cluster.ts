import { Redis } from 'ioredis';
import type { Certificate } from './certificate.ts';
import { freePort } from './port.ts';
import { onFreePorts, RedisServer, tlsSettings } from './redis.ts';
import { eventually } from './wait.ts';

const slots = 16_384;

interface Node {
  server: RedisServer;
  redis: Redis;
  /** The port for clients with TLS, which is also the node's port for other nodes. */
  tlsPort: number | undefined;
  /** The port on which nodes talk to each other. */
  bus: number;
  id: string;
}

interface Options {
  /** With TLS. */
  certificate?: Certificate;
  /** What every node calls itself, instead of its address. */
  hostname?: string;
}

/** A private Redis Cluster of three masters on 127.0.0.1. */
export class RedisCluster {
  readonly #nodes: Node[];
  readonly #options: Options;
  #replica: Node | undefined;

  private constructor(nodes: Node[], options: Options) {
    this.#nodes = nodes;
    this.#options = options;
  }

  static async start(options: Options = {}): Promise<RedisCluster> {
    const nodes: Node[] = [];
    const cluster = new RedisCluster(nodes, options);
    try {
      for (let index = 0; index < 3; index++) {
        const node = await cluster.#launch();
        nodes.push(node);
        const [first, last] = [index, index + 1].map((third) => Math.floor((slots * third) / 3));
        await node.redis.call('CLUSTER', 'ADDSLOTSRANGE', String(first), String((last ?? 0) - 1));
        // Masters of one epoch have to settle that first, and cannot agree on a failover until
        // then.
        await node.redis.call('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1));
        await cluster.#meet(node);
      }
      await eventually(() => cluster.#agrees(), 60_000, 'the cluster is whole');
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  /** The form that the relay takes as `REDIS_URL`. */
  get url(): string {
    const { certificate, hostname = '127.0.0.1' } = this.#options;
    const nodes = this.#nodes.map(({ server, tlsPort }) => `${hostname}:${tlsPort ?? server.port}`);
    return `${certificate ? 'rediss' : 'redis'}+cluster://${nodes.join(',')}`;
  }

  /** The masters, for what a test does to each of them. */
  get masters(): RedisServer[] {
    return this.#nodes.map(({ server }) => server);
  }

  /** Channels of sharded pub/sub that somebody has subscribed to. */
  async channels(): Promise<string[]> {
    const lists = await Promise.all(this.#nodes.map(({ redis }) => redis.call('PUBSUB', 'SHARDCHANNELS')));
    return (lists as string[][]).flat();
  }

  /**
   * Moves the slot of a key to the next node, as `redis-cli --cluster reshard --cluster-replace`
   * does.
   *
   * @param meanwhile runs when the slot is half moved: at both nodes, with its keys still at the
   *   old one
   */
  async move(key: string, meanwhile: () => Promise<unknown>): Promise<void> {
    const slot = String(await this.#nodes[0]?.redis.call('CLUSTER', 'KEYSLOT', key));
    const index = await this.#owner(Number(slot));
    const [source, target] = [this.#nodes[index], this.#nodes[(index + 1) % this.#nodes.length]];
    if (!source || !target) throw new Error(`nobody has slot ${slot}`);
    await target.redis.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', source.id);
    await source.redis.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', target.id);
    await meanwhile();
    while (true) {
      const keys = (await source.redis.call('CLUSTER', 'GETKEYSINSLOT', slot, '100')) as string[];
      if (keys.length === 0) break;
      await source.redis.call(
        'MIGRATE',
        '127.0.0.1',
        String(target.server.port),
        '',
        '0',
        '5000',
        'REPLACE',
        'KEYS',
        ...keys,
      );
    }
    for (const { redis } of [target, source, ...this.#nodes])
      await redis.call('CLUSTER', 'SETSLOT', slot, 'NODE', target.id);
  }

  /** Gives the first node a replica, which would take over from it. */
  async replicate(): Promise<void> {
    const replica = await this.#launch();
    this.#replica = replica;
    await this.#meet(replica);
    const follow = () => replica.redis.call('CLUSTER', 'REPLICATE', this.#nodes[0]?.id ?? '');
    const follows = () =>
      follow().then(
        () => true,
        () => false, // it has not heard of that node yet
      );
    await eventually(follows);
    await eventually(async () => (await replica.redis.info('replication')).includes('master_link_status:up'));
  }

  /** Kills the first node; resolves when its replica has taken over. */
  async failOver(): Promise<void> {
    await this.#nodes[0]?.server.kill();
    this.#nodes[0]?.redis.disconnect();
    const role = async (): Promise<string> => JSON.stringify(await this.#replica?.redis.call('ROLE'));
    await eventually(async () => (await role()).includes('master'), 30_000, 'the replica is a master');
  }

  async stop(): Promise<void> {
    const all = [...this.#nodes, ...(this.#replica ? [this.#replica] : [])];
    for (const { redis } of all) redis.disconnect();
    await Promise.all(all.map(({ server }) => server.stop()));
  }

  #launch(): Promise<Node> {
    return onFreePorts(() => this.#launchOnce());
  }

  async #launchOnce(): Promise<Node> {
    const bus = await freePort();
    const { certificate, hostname } = this.#options;
    const tlsPort = certificate && (await freePort());
    const server = await RedisServer.start([
      '--cluster-enabled',
      'yes',
      '--cluster-port',
      String(bus),
      '--cluster-node-timeout',
      '2000',
      ...(hostname === undefined ? [] : ['--cluster-announce-hostname', hostname]),
      ...(hostname === undefined ? [] : ['--cluster-preferred-endpoint-type', 'hostname']),
      ...(certificate && tlsPort
        ? [...tlsSettings(certificate, tlsPort), '--tls-cluster', 'yes', '--tls-replication', 'yes']
        : []),
    ]);
    const redis = new Redis(server.port, '127.0.0.1');
    redis.on('error', () => undefined); // once it was killed
    return { server, redis, tlsPort, bus, id: String(await redis.call('CLUSTER', 'MYID')) };
  }

  async #meet({ server, tlsPort, bus }: Node): Promise<void> {
    const port = String(tlsPort ?? server.port);
    await this.#nodes[0]?.redis.call('CLUSTER', 'MEET', '127.0.0.1', port, String(bus));
  }

  async #owner(slot: number): Promise<number> {
    const ranges = (await this.#nodes[0]?.redis.call('CLUSTER', 'SLOTS')) as [number, number, [string, number]][];
    const port = ranges.find(([first, last]) => slot >= first && slot <= last)?.[2][1];
    return this.#nodes.findIndex(({ server }) => server.port === port);
  }

  async #agrees(): Promise<boolean> {
    const infos = await Promise.all(this.#nodes.map(({ redis }) => redis.call('CLUSTER', 'INFO')));
    return infos.map(String).every((info) => info.includes('cluster_state:ok') && info.includes('cluster_size:3'));
  }
}
