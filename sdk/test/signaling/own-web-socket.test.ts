import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';

const run = promisify(execFile);
const source = (path: string) => JSON.stringify(fileURLToPath(new URL(`../../src/${path}`, import.meta.url)));

/** A program that has loaded what `connect` and `expose` load, and has had a socket to a relay. */
const program = `
  import { once } from 'node:events';
  import { WebSocketServer } from 'ws';
  import { RelaySocket } from ${source('signaling/relay-socket.ts')};
  import ${source('cli/expose-command.ts')};
  import ${source('cli/standing-bridge/connect-standing.ts')};
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await once(server, 'listening');
  const url = new URL('ws://127.0.0.1:' + server.address().port);
  const socket = await RelaySocket.open(url, new AbortController().signal, undefined, false);
  const [peer] = server.clients;
  socket.close();
  await once(peer, 'close');
  console.log(JSON.stringify(process.moduleLoadList));
  process.exit();
`;

test('a bridge starts, and has a socket to its relay, without all of fetch', async () => {
  const flags = ['--conditions=mcp-rendezvous-source', '--input-type=module', '--eval', program];
  const { stdout } = await run(process.execPath, flags, { cwd: fileURLToPath(new URL('../..', import.meta.url)) });
  const loaded = JSON.parse(stdout) as string[];
  assert.ok(loaded.length > 100, 'Node tells what it has loaded');
  assert.deepEqual(
    loaded.filter((name) => name.includes('undici')),
    [],
  );
});
