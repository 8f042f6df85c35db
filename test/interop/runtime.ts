import assert from 'node:assert/strict';
import { argv, exit, versions } from 'node:process';
import { listen, MemorySignaling, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { transportContract } from 'mcp-rendezvous/testing';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { engineNames, engines } from '../support/engines.ts';
import { testSecret } from '../support/relay.ts';
import { complete, connectClient, createServer, exchange, serverName } from './exchange.ts';

/**
 * An MCP session with every engine through a relay, on the runtime that runs this. Usage:
 * runtime.ts name version relay
 */
const [, , runtime, version, relay = ''] = argv;
assert.equal(versions[runtime!], version);
// Not every runtime ends with one.
process.on('uncaughtException', (error) => {
  console.error(error);
  exit(1);
});
for (const name of engineNames) {
  const rtc = engines[name];
  const token = (role: 'client' | 'server') =>
    createRoomToken({ key: testSecret, room: `${runtime} ${version} ${name}`, role, subject: role, ttl: 600 });
  const listener = await listen({ relay, token: () => token('server'), rtc }, (transport) =>
    createServer().connect(transport),
  );
  const { client } = await connectClient(new WebRTCClientTransport({ relay, token: await token('client'), rtc }));
  assert.deepEqual(await exchange(client), complete(serverName));
  await client.close();
  await listener.close();
}

// werift's sockets are the runtime's, and runtimes differ in what those say when nobody listens at
// the other end any more.
const contract = transportContract(() => {
  const [near, far] = MemorySignaling.pair();
  const rtc = engines.werift;
  return {
    client: new WebRTCClientTransport({ signaling: near, rtc }),
    server: new WebRTCServerTransport({ signaling: far, rtc }),
  };
});
for (const { run } of contract.filter(({ name }) => !name.includes('bytes'))) await run();
console.log(`a session with each of ${engineNames.join(', ')}`);
exit();
