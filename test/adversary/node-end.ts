import { argv } from 'node:process';
import { weriftEngine } from 'mcp-rendezvous/werift';
import { nodeDatachannelEngine } from '../../sdk/src/peer/node-datachannel.ts';
import { createEnd, type End } from './end.ts';

/** What a command for an end looks like between processes. */
export interface Command {
  id: number;
  method: keyof End;
  args: unknown[];
}
export type Reply = { id: number } & ({ result: unknown } | { error: string });

const engines = { werift: weriftEngine, 'node-datachannel': nodeDatachannelEngine };
export type NodeEngine = keyof typeof engines;

// Usage: node node-end.ts <engine>, with an IPC channel
const end = createEnd(engines[argv[2] as NodeEngine], () => process.memoryUsage.rss() / 2 ** 20);

process.on('message', (command: Command) => void answer(command));
process.on('disconnect', () => process.exit());

async function answer({ id, method, args }: Command): Promise<void> {
  // A command's arguments are those of its method: both come from the interface End.
  const run = end[method] as (...args: unknown[]) => Promise<unknown>;
  try {
    process.send?.({ id, result: await run(...args) });
  } catch (error) {
    process.send?.({ id, error: String(error) });
  }
}
