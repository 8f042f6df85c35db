import assert from 'node:assert/strict';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { freePort } from './support/port.ts';
import { testSecret } from './support/relay.ts';
import { namedBlocks, Terminal } from './support/terminal.ts';

/** What a reader of the guides types, on one machine instead of two, and with the sources. */
const read = (path: string): Promise<string> => readFile(join(import.meta.dirname, '../docs', path), 'utf8');

interface Page {
  terminal: Terminal;
  port: number;
  block: (name: string) => string;
}

/** A page and a terminal for its commands, with a port of this test for the relay. */
async function pageOf(t: TestContext, path: string): Promise<Page> {
  const port = await freePort();
  const url = `ws://127.0.0.1:${port}`;
  const blocks = namedBlocks(await read(path), { 'wss://relay.example': url });
  const block = (name: string): string => blocks.get(name) ?? assert.fail(`${path} has no block "${name}"`);
  return { terminal: new Terminal(t), port, block };
}

/** A relay that runs with the key in `relay.key`. */
async function startRelay(terminal: Terminal, port: number): Promise<void> {
  await writeFile(join(terminal.folder, 'relay.key'), testSecret, { mode: 0o600 });
  const relay = `RELAY_PORT=${port} RELAY_SECRET_FILE=relay.key exec mcp-rendezvous-server`;
  await terminal.start(relay).says(/listening at/);
}

test('doctor and the entry for a client work with an invitation in a file', { timeout: 180_000 }, async (t) => {
  const { terminal, port, block } = await pageOf(t, 'troubleshooting/doctor.md');
  await startRelay(terminal, port);
  const expose = `mcp-rendezvous expose --relay ws://127.0.0.1:${port} --key-file relay.key --print-invitation`;
  const sharing = terminal.start(`${expose} -- npx -y @modelcontextprotocol/server-filesystem .`);
  await writeFile(join(terminal.folder, 'invitation'), await sharing.says(/^(mcpr1\S+)$/m), { mode: 0o600 });
  assert.match(await terminal.run(block('sh doctor')), /You will connect directly/);
  const clients = await pageOf(t, 'guides/clients.md');
  assert.match(await terminal.run(clients.block('sh entry')), /"mcpServers"/);
});

test('as a service: with the unit of systemd, an invitation of before stays valid', { timeout: 240_000 }, async (t) => {
  const before = await pageOf(t, 'start/two-machines.md');
  const { terminal, port } = before;
  await startRelay(terminal, port);
  const sharing = terminal.start(before.block('sh expose').replace(' expose ', ' expose --print-invitation '));
  await writeFile(join(terminal.folder, 'invitation'), await sharing.says(/^(mcpr1\S+)$/m), { mode: 0o600 });
  await sharing.stop();

  const blocks = namedBlocks(await read('guides/service.md'), { 'wss://relay.example': `ws://127.0.0.1:${port}` });
  const paths = await terminal.run(`PATH="$PATH:$PWD/node_modules/.bin"\n${blocks.get('sh paths')}`);
  const [node = '', command = '', server = ''] = paths.trim().split('\n');
  const home = join(terminal.folder, '.home');
  await mkdir(join(home, '.config'), { recursive: true });
  await rename(join(terminal.folder, 'relay.key'), join(home, '.config/relay.key'));
  const unit = blocks
    .get('ini unit')!
    .replaceAll('%h', home)
    .replace('PATH=/usr/local/bin:', `PATH=${dirname(node)}:`)
    .replace('/usr/local/bin/mcp-rendezvous ', `${command} `)
    .replace('/usr/local/bin/mcp-server-filesystem ', `${server} `)
    .replace(':9000', `:${await freePort()}`);
  const [path, start] = [/^Environment=(PATH=.+)$/m, /^ExecStart=(.+)$/m].map((line) => line.exec(unit)?.[1]);
  // With nothing of the shell, as systemd starts it.
  await terminal.start(`cd /\nexec env -i HOME='${home}' ${path} ${start}`).says(/in room \S+ /);
  assert.match(
    await terminal.run('mcp-rendezvous doctor --invitation-file invitation'),
    /You will connect directly, because the other peer/,
  );
});

test('a configuration file: one configuration comes out for the other machine', { timeout: 120_000 }, async (t) => {
  const page = await pageOf(t, 'guides/config-file.md');
  const { terminal, port } = page;
  const files = { command: 'npx', args: ['-y', '@modelcontextprotocol/server-filesystem', '.'] };
  await writeFile(join(terminal.folder, 'mcp.json'), JSON.stringify({ mcpServers: { files } }));
  await startRelay(terminal, port);
  await terminal.start(page.block('sh expose')).says(/"files": \{[^]*"MCP_RENDEZVOUS_INVITATION": "mcpr1/);
});

test('HTTP: a server that speaks it is shared, and another URL serves it', { timeout: 180_000 }, async (t) => {
  const page = await pageOf(t, 'guides/http.md');
  const { terminal, port } = page;
  const ports = { 3001: await freePort(), 3333: await freePort() };
  const block = (name: string): string =>
    Object.entries(ports).reduce(
      (text, [from, to]) => text.replaceAll(from, String(to)),
      page.block(name).replace('…', 'key'),
    );
  await startRelay(terminal, port);
  await terminal.start(`export PORT=${ports[3001]}\n${block('sh server')}`).says(/listening on port/);
  for (const name of ['sh expose', 'sh header']) {
    const shared = block(name).replace(' expose ', ` expose --room ${name.slice(3)} --print-invitation `);
    const invitation = await terminal.start(shared).says(/^(mcpr1\S+)$/m);
    await writeFile(join(terminal.folder, 'invitation'), invitation, { mode: 0o600 });
    const connect = terminal.start(block('sh connect'));
    const url = await connect.says(/available at (\S+)/);
    const client = new Client({ name: 'reader', version: '1.0.0' });
    await client.connect(new StreamableHTTPClientTransport(new URL(url)));
    assert.ok((await client.listTools()).tools.some((tool) => tool.name === 'echo'));
    await client.close();
    await connect.stop();
  }
});

test('a secret is printed in its one form', async (t) => {
  const { terminal, block } = await pageOf(t, 'guides/secrets.md');
  assert.match(await terminal.run(block('sh secret')), /^mcps1[\w-]{40,}\n$/);
});
