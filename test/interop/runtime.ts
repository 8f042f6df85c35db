import assert from 'node:assert/strict';
import { argv, exit, version } from 'node:process';
import { MemorySignaling, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { engineNames, engines } from '../support/engines.ts';
import { complete, connectClient, createServer, exchange, serverName } from './exchange.ts';

/** An MCP session with every engine, on the Node that runs this. Usage: runtime.ts expected-version */
assert.equal(version, `v${argv[2]}`);
for (const name of engineNames) {
  const rtc = engines[name];
  const [near, far] = MemorySignaling.pair();
  const server = createServer();
  const serving = server.connect(new WebRTCServerTransport({ signaling: far, rtc }));
  const [{ client }] = await Promise.all([connectClient(new WebRTCClientTransport({ signaling: near, rtc })), serving]);
  assert.deepEqual(await exchange(client), complete(serverName));
  await Promise.all([client.close(), server.close()]);
}
console.log(`a session with each of ${engineNames.join(', ')}`);
exit();
