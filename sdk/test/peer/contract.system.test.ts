import { after, suite, test } from 'node:test';
import type { Engine } from 'mcp-rendezvous';
import { type ContractCase, engineContract } from 'mcp-rendezvous/testing';
import { pairings } from './engines.ts';

/** @roamhq/wrtc takes its time to flush (see WrtcChannel): once is enough. */
const quick = (cases: ContractCase[], engines: Engine[]): ContractCase[] =>
  engines.some((engine) => engine.name === 'wrtc')
    ? cases.filter(({ name }) => !name.endsWith('1 of 20 bytes'))
    : cases;

// One of @roamhq/wrtc's handles may stay behind, rarely and with nothing of ours left; that
// processes exit by themselves is tested in contract-process.system.test.ts.
after(() => void setTimeout(() => process.exit(), 5_000).unref());

/**
 * What every engine must do behind its adapter; what is one engine's alone is tested in a file of
 * its own.
 */
for (const { name, offering, answering } of pairings) {
  suite(name, () => {
    for (const { name: what, run } of quick(engineContract(offering, { answering }), [offering, answering])) {
      test(what, run);
    }
  });
}
