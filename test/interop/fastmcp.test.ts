import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { after, before, test, type TestContext } from 'node:test';
import { WebRTCClientTransport } from 'mcp-rendezvous';
import { Cli } from '../../sdk/test/cli/support/process.ts';
import { RelayProcess, testSecret } from '../support/relay.ts';
import { within } from '../support/wait.ts';
import { complete, connectClient, exchange } from './exchange.ts';
import { SdkPeer, virtualPython } from './python.ts';

/** A FastMCP server in Python, behind `mcp-rendezvous expose -- python server.py`. */
const patienceMs = 60_000;
let relay: RelayProcess;
before(async () => {
  relay = await RelayProcess.start();
});
after(() => relay?.stop());

const command = (): [string, ...string[]] => [
  virtualPython(),
  fileURLToPath(new URL('fastmcp_server.py', import.meta.url)),
];

/** The invitation of an `expose` that belongs to an account of its own. */
async function invited(t: TestContext): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'account-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const env = { HOME: folder, XDG_CONFIG_HOME: folder, RELAY_SECRET: testSecret, MCP_RENDEZVOUS_RELAY: relay.url };
  const expose = new Cli(t, ['expose', '--print-invitation', '--', ...command()], env);
  await expose.says(/^mcpr1\S+$/m);
  return /^mcpr1\S+$/m.exec(expose.stderr)![0];
}

test('a FastMCP server behind expose, and clients with its invitation', async (t) => {
  const invitation = await invited(t);
  const python = new SdkPeer(t, ['client'], { INVITATION: invitation });
  const { client } = await within(connectClient(new WebRTCClientTransport({ invitation })), 'initialize', patienceMs);
  t.after(() => client.close());
  const server = 'fastmcp-server';
  assert.deepEqual(await within(exchange(client), 'the exchange', patienceMs), complete(server));
  // Each of the two has proven the secret to the other.
  assert.equal((await python.event('open'))['server'], server);
  python.tell({ do: 'exchange', bytes: 400_000 });
  const { event: _, ...seen } = await python.event('exchange');
  assert.deepEqual({ server, ...seen }, complete(server, 400_000));
  python.tell({ do: 'close' });
  await python.event('closed');
});
