import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  type ConformanceCase,
  conformanceTests,
  type ConformanceTestId,
  customTransportConformance,
} from 'mcp-rendezvous/testing';
import { sdkVersions } from '../../../test/custom-transport/results.ts';
import { sdks, type SdkVersion } from '../../../test/custom-transport/sdks.ts';
import { type Altered, type Alteration, alteredPair, type Side } from './altered.ts';
import type { ConformanceFlaw } from './conformance-damages.ts';
import { conformanceFlaws } from './conformance-flaws.ts';

const tests = (version: SdkVersion, alter: (side: Side) => Alteration, patienceMs: number): ConformanceCase[] =>
  customTransportConformance(sdks[version], () => alteredPair(alter), {
    patienceMs,
    fail: ({ client }) => (client as Altered).break(),
    isReleased: ({ client, server }) => [client, server].every((end) => (end as Altered).released),
  });

/**
 * Short first, as what a flaw holds back never comes; longer on a machine that is so busy that the
 * test has not come to the flaw by then.
 */
const patience = [250, 1_000, 4_000, 16_000];

async function isCaught({ caught, alter }: ConformanceFlaw, version: SdkVersion): Promise<void> {
  let hits = 0;
  const altered = (side: Side) => alter({ side, sdk: sdks[version], hit: () => void hits++ });
  for (const patienceMs of patience) {
    const meant = tests(version, altered, patienceMs).find(({ id }) => id === caught);
    await assert.rejects(meant!.run(), 'the test that is meant to see it does not');
    if (hits > 0) return;
  }
  assert.fail('the test is red, but the flaw did not show');
}

for (const version of sdkVersions) {
  suite(`the conformance tests with SDK ${version}`, () => {
    test('pass over a transport without a flaw', async () => {
      for (const { run } of tests(version, () => ({}), 30_000)) await run();
    });

    const flaws = conformanceFlaws.filter(({ modernOnly }) => !modernOnly || version === 'v2');
    // What is about HTTP is seen in the whole process.
    const [alone, together] = [true, false].map((http) =>
      flaws.filter(({ caught }) => (caught === 'no-http-dependency') === http),
    );
    for (const [concurrency, some] of [
      [1, alone],
      [8, together],
    ] as const) {
      suite('see a transport that', { concurrency }, () => {
        for (const flaw of some!) test(`${flaw.name}: ${flaw.caught}`, () => isCaught(flaw, version));
      });
    }
  });
}

test('there is a flaw for each of the conformance tests', () => {
  const caught = new Set<ConformanceTestId>(conformanceFlaws.map((flaw) => flaw.caught));
  assert.deepEqual([...caught].toSorted(), Object.keys(conformanceTests).toSorted());
});
