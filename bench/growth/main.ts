import { growInstances, type InstancesRow } from './instances.ts';
import { fitCosts, type Model, type Scale, simulate } from './model.ts';
import { growPeers, type PeersRow } from './peers.ts';
import { growRooms, type RoomsRow } from './rooms.ts';

/**
 * How costs grow, the prices that fit what was measured, and what they say about more than was
 * measured.
 */
export interface Growth {
  peers: PeersRow[];
  rooms: RoomsRow[];
  instances: InstancesRow[];
  model: Model;
  scales: Scale[];
}

/** Peers that are simulated. */
const many = [1e6, 1e7, 1e8];

/**
 * Takes six minutes, or one when `quick`: then the number of peers is too small for idle CPU to say
 * much.
 */
export async function measureGrowth(quick: boolean): Promise<Growth> {
  // 24 s: each peer is pinged once.
  const peers = await growPeers(quick ? [200, 1000] : [1000, 5000, 15_000], quick ? 3000 : 24_000);
  const rooms = await growRooms(quick ? [1, 64] : [1, 8, 64, 256], quick ? 64 : 256, quick ? 500 : 1500);
  const instances = await growInstances(quick ? [1, 2] : [1, 2, 3, 4], quick ? 100 : 600, quick ? 3000 : 10_000);
  const model: Model = {
    alone: fitCosts(peers.observations, 'cpu'),
    together: fitCosts(instances.observations, 'cpu'),
    redis: fitCosts(instances.observations, 'redisCpu'),
    sizes: {
      peer: peers.rows.at(-1)?.rssPerPeer ?? NaN,
      redisPeer: instances.rows.at(-1)?.redisMemoryPerPeer ?? NaN,
    },
  };
  const scales = many.map((count) => simulate(model, count));
  return { peers: peers.rows, rooms, instances: instances.rows, model, scales };
}
