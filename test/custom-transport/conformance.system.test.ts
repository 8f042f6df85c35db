import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { customTransportConformance } from 'mcp-rendezvous/testing';
import { RelayProcess } from '../support/relay.ts';
import { failures, sdkVersions, transportNames } from './results.ts';
import { sdks } from './sdks.ts';
import { adminToken, makers, options } from './transports.ts';

let relay: RelayProcess;
before(async () => {
  relay = await RelayProcess.start({ ADMIN_TOKEN: adminToken });
});
after(() => relay.stop());

for (const transport of transportNames) {
  for (const sdk of sdkVersions) {
    suite(`${transport}, MCP SDK ${sdk}`, () => {
      const makePair = () => makers[transport](sdk, relay);
      const cases = (patienceMs: number) => customTransportConformance(sdks[sdk], makePair, { ...options, patienceMs });
      const impatient = cases(1_000);
      for (const [n, { id, name, run }] of cases(60_000).entries()) {
        const known = failures.find((one) => one.sdk === sdk && one.transport === transport && one.test === id);
        if (!known) test(name, run);
        else test(`${name}: fails, as ${known.reason}`, () => assert.rejects(impatient[n]!.run()));
      }
    });
  }
}
