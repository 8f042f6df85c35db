import assert from 'node:assert/strict';
import { after, suite, test } from 'node:test';
import { InMemoryTransport as InMemoryTransportV2 } from '@modelcontextprotocol/client';
import { InMemoryTransport as InMemoryTransportV1 } from '@modelcontextprotocol/sdk/inMemory.js';
import { type ContractCase, transportContract, type TransportPair } from 'mcp-rendezvous/testing';
import { type Flaw, FlawedTransport, flaws } from './flawed.ts';

/** Long for what has to come, on a busy machine, too; short for what will never come. */
const patience = { whole: 30_000, flawed: 300 };

const contract = (flaw?: Flaw, patienceMs = patience.whole): ContractCase[] =>
  transportContract(() => FlawedTransport.pair(flaw), {
    patienceMs,
    carriesRelatedRequestId: true,
    sendJunk: ({ server }) => (server as FlawedTransport).take('{"jsonrpc":'),
    unreachable: () => new FlawedTransport(flaw),
  });

const seen = new Set<string>();

/** The names of the cases that fail; of those with such a name it is expected. */
async function red(make: (patienceMs: number) => ContractCase[], expected: RegExp): Promise<string[]> {
  const failed: string[] = [];
  const impatient = make(patience.flawed);
  for (const [n, { name, run }] of make(patience.whole).entries()) {
    await (expected.test(name) ? impatient[n]! : { run }).run().catch(() => failed.push(name));
  }
  for (const name of failed) seen.add(name);
  return failed;
}

suite('the transport contract', { concurrency: 8 }, () => {
  test('is kept by a transport without a flaw', async () => {
    for (const { run } of contract()) await run();
  });

  for (const [flaw, expected] of Object.entries(flaws) as [Flaw, RegExp][]) {
    test(`sees a transport that has this flaw: ${flaw}`, async () => {
      const failed = await red((patienceMs) => contract(flaw, patienceMs), expected);
      assert.notDeepEqual(failed, []);
      assert.deepEqual(
        failed.filter((name) => !expected.test(name)),
        [],
      );
    });
  }

  // They are for a client and a server of one test, which start each of them once and set their
  // handlers before.
  const inMemory: [string, () => [TransportPair['client'], TransportPair['server']], RegExp][] = [
    [
      'v1',
      () => InMemoryTransportV1.createLinkedPair(),
      /^start\(\)|before start|told once|onclose|taken away|handler may close/,
    ],
    ['v2', () => InMemoryTransportV2.createLinkedPair(), /^start\(\)|before start|taken away/],
  ];
  for (const [version, createLinkedPair, expected] of inMemory) {
    test(`sees what the in-memory transport of MCP's SDK ${version} leaves out, and nothing else`, async () => {
      const make = (patienceMs: number) =>
        transportContract(
          () => {
            const [client, server] = createLinkedPair();
            return { client, server };
          },
          { patienceMs },
        );
      const failed = await red(make, expected);
      assert.deepEqual(
        failed,
        make(0).flatMap(({ name }) => (expected.test(name) ? [name] : [])),
      );
    });
  }

  after(() => {
    const never = contract().flatMap(({ name }) => (seen.has(name) ? [] : [name]));
    assert.deepEqual(never, [], 'no flaw makes these red');
  });
});
