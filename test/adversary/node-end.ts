import { argv } from 'node:process';
import { weriftEngine } from 'mcp-rendezvous/werift';
import { nodeDatachannelEngine } from '../../sdk/src/peer/node-datachannel.ts';
import { serveParent } from '../support/remote.ts';
import { createEnd, type End } from './end.ts';

const engines = { werift: weriftEngine, 'node-datachannel': nodeDatachannelEngine };
export type NodeEngine = keyof typeof engines;

// Usage: node node-end.ts <engine>, with an IPC channel
serveParent<End>(createEnd(engines[argv[2] as NodeEngine], () => process.memoryUsage.rss() / 2 ** 20));
