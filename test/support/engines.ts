import { type Engine } from 'mcp-rendezvous';
import { nodeDatachannelEngine } from 'mcp-rendezvous/node-datachannel';
import { weriftEngine } from 'mcp-rendezvous/werift';
import { wrtcEngine } from 'mcp-rendezvous/wrtc';

/** Every engine that Node has. */
export const engines = {
  werift: weriftEngine,
  'node-datachannel': nodeDatachannelEngine,
  wrtc: wrtcEngine,
} satisfies Record<string, Engine>;

export type EngineName = keyof typeof engines;
export const engineNames = Object.keys(engines) as EngineName[];
