import type { Engine } from './engine.ts';

/**
 * node-datachannel where it is installed and its binary runs, and otherwise werift, which needs
 * none. Neither is loaded before it is asked for.
 */
export async function defaultEngine(): Promise<Engine> {
  const { hasNodeDatachannel, nodeDatachannelEngine } = await import('./node-datachannel.ts');
  return hasNodeDatachannel() ? nodeDatachannelEngine : (await import('./werift.ts')).weriftEngine;
}
