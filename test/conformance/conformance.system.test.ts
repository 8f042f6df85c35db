import assert from 'node:assert/strict';
import { after, before, suite, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Cli, fromSource } from '../../sdk/test/cli/support/process.ts';
import { freePort } from '../support/port.ts';
import { RelayProcess } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { Fixture } from './fixture.ts';
import { type Run, runSuite } from './suite.ts';

/** Required scenarios of a server, by revision: what 0.2.0-alpha.12 of the suite lists. */
const required = { '2025-11-25': 30, '2026-07-28': 37 };
type Revision = keyof typeof required;

/**
 * Scenarios of a client that reach a transport. The exceptions, auth/*, are the OAuth of a client
 * that speaks HTTP itself.
 */
const clientScenarios: [Revision, string][] = [
  ['2025-11-25', 'initialize'],
  ['2025-11-25', 'tools_call'],
  ['2025-11-25', 'elicitation-sep1034-client-defaults'],
  ['2025-11-25', 'sse-retry'],
  ['2026-07-28', 'tools_call'],
  ['2026-07-28', 'request-metadata'],
  ['2026-07-28', 'sep-2322-client-request-state'],
  ['2026-07-28', 'http-standard-headers'],
  ['2026-07-28', 'http-custom-headers'],
  ['2026-07-28', 'http-invalid-tool-headers'],
  ['2026-07-28', 'json-schema-ref-no-deref'],
  ['2026-07-28', 'json-schema-2020-12-preservation'],
];

void suite("MCP's conformance suite", { concurrency: 2 }, () => {
  let relay: RelayProcess;
  let fixture: Fixture;
  before(async () => {
    [relay, fixture] = await Promise.all([RelayProcess.start(), Fixture.start()]);
  });
  after(async () => {
    await Promise.all([relay.stop(), fixture.stop()]);
  });

  for (const revision of Object.keys(required) as Revision[]) {
    test(`a server of ${revision} passes through expose --url and connect --http as it does without`, async (t) => {
      const args = ['server', '--requirements', revision, '--url'];
      const direct = await runSuite([...args, fixture.url]);
      const through = await runSuite([...args, await throughTheRelay(t)]);
      t.diagnostic(`${revision}: ${tell(direct)} without, ${tell(through)} through the data channel`);
      for (const run of [direct, through]) {
        assert.equal(run.exitCode, 0, run.output);
        assert.equal(requiredAndPassed(run), required[revision]);
      }
      // Also of what is optional: whatever passes without passes through.
      assert.deepEqual(
        [...direct.scenarios.keys()].filter((name) => passes(direct, name) && !passes(through, name)),
        [],
      );
    });
  }

  for (const [revision, scenario] of clientScenarios) {
    test(`a client of ${revision}: ${scenario}`, async () => {
      const room = new Room(relay);
      const command = [process.execPath, ...fromSource, fileURLToPath(new URL('./client.ts', import.meta.url))];
      const args = ['client', '--command', command.join(' '), '--scenario', scenario, '--spec-version', revision];
      const run = await runSuite([...args, '--timeout', '60000'], {
        MCP_RENDEZVOUS_RELAY: relay.url,
        SERVER_TOKEN: await room.token('server'),
        CLIENT_TOKEN: await room.token('client'),
      });
      assert.equal(run.exitCode, 0, run.output);
      assert.match(run.output, /Passed: (\d+)\/\1, 0 failed/);
    });
  }

  async function throughTheRelay(t: TestContext): Promise<string> {
    const room = new Room(relay);
    const expose = new Cli(t, ['expose', '--max-sessions', '400', '--url', fixture.url], await room.env('server'));
    // The suite calls as a page of the endpoint's own origin, which is allowed like any other.
    const port = String(await freePort());
    const args = ['connect', '--http', port, '--allow-origin', `http://127.0.0.1:${port}`];
    const connect = new Cli(t, args, await room.env('client'));
    await Promise.all([expose.says('sharing http'), connect.says(/at http:\S+/)]);
    return /at (http:\S+)/.exec(connect.stderr)![1]!;
  }
});

const passes = ({ scenarios }: Run, name: string): boolean => scenarios.get(name)?.failed === 0;

const requiredAndPassed = (run: Run): number =>
  [...run.scenarios.keys()].filter((name) => passes(run, name) && !run.optional.has(name)).length;

const tell = (run: Run): string =>
  `${requiredAndPassed(run)} of ${run.scenarios.size - run.optional.size} required and ` +
  `${[...run.optional].filter((name) => passes(run, name)).length} of ${run.optional.size} optional scenarios`;
