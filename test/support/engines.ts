import { type Engine, nodeDatachannelEngine, weriftEngine, wrtcEngine } from 'mcp-rendezvous';

/** Every engine that Node has. */
export const engines = {
  werift: weriftEngine,
  'node-datachannel': nodeDatachannelEngine,
  wrtc: wrtcEngine,
} satisfies Record<string, Engine>;

export type EngineName = keyof typeof engines;
export const engineNames = Object.keys(engines) as EngineName[];
