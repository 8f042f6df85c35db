import type { Engine } from '../../src/peer/engine.ts';
import { nodeDatachannelEngine } from '../../src/peer/node-datachannel.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import { wrtcEngine } from '../../src/peer/wrtc.ts';

export const engines: readonly Engine[] = [weriftEngine, nodeDatachannelEngine, wrtcEngine];

/** Each engine with itself, and with werift in both roles. */
export const pairings: readonly { name: string; offering: Engine; answering: Engine }[] = engines
  .flatMap((offering) => engines.map((answering) => ({ offering, answering })))
  .filter(({ offering, answering }) => offering === answering || [offering, answering].includes(weriftEngine))
  .map((pair) => ({ name: `${pair.offering.name} to ${pair.answering.name}`, ...pair }));
