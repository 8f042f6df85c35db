import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { parse as parseToml } from 'smol-toml';
import { testSecret } from './support/relay.ts';
import { type Machine, machines } from './support/machines.ts';
import { eventually } from './support/wait.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..');
const bin = join(root, 'sdk/bin/mcp-rendezvous.js');
const relayBin = join(root, 'server/bin/mcp-rendezvous-server.js');
const filesystem = join(root, 'node_modules/.bin/mcp-server-filesystem');

interface Entry {
  command: string;
  args: string[];
}

/** How each client reads its user's servers, by its documentation. */
const readers: Record<string, (home: string) => Entry[]> = {
  'claude-desktop': (home) => members(json(join(home, '.config/Claude/claude_desktop_config.json'))['mcpServers']),
  'claude-code': (home) => members(json(join(home, '.claude.json'))['mcpServers']),
  cursor: (home) => members(json(join(home, '.cursor/mcp.json'))['mcpServers']),
  vscode: (home) => members(json(join(home, '.config/Code/User/mcp.json'))['servers']),
  codex: (home) => members(parseToml(readFileSync(join(home, '.codex/config.toml'), 'utf8'))['mcp_servers']),
};
const json = (file: string) => JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
const members = (servers: unknown): Entry[] => Object.values(servers as Record<string, Entry>);

/** Counts what the two users type: their commands, and what one of them copies to the other. */
class Users {
  commands = 0;
  readonly copied = new Set<string>();

  /** A command of a user that goes on running; resolves with what it printed once that matches. */
  async start(t: TestContext, machine: Machine, line: string[], env: Record<string, string>, expected: RegExp) {
    this.commands += 1;
    const [program, ...args] = machine.command(process.execPath, bin, ...line);
    const PATH = [dirname(filesystem), process.env['PATH']].join(delimiter);
    const options = { cwd: machine.home, env: machine.env({ PATH, ...env }) };
    const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    t.after(() => ended(child));
    let printed = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (printed += text));
    }
    await eventually(() => {
      if (child.exitCode !== null) throw new Error(`it ended:\n${printed}`);
      return expected.test(printed);
    }, 60_000);
    return printed;
  }

  /** A command of a user to its end. */
  async run(machine: Machine, line: string[]): Promise<void> {
    this.commands += 1;
    const [program, ...args] = machine.command(process.execPath, bin, ...line);
    await run(program, args, { cwd: machine.home, env: machine.env() });
  }

  copy(text: string): string {
    this.copied.add(text);
    return text;
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}

async function startRelay(t: TestContext, machine: Machine): Promise<string> {
  const [program, ...args] = machine.command(process.execPath, relayBin);
  const env = machine.env({ RELAY_SECRET: testSecret, RELAY_HOST: machine.address, DRAIN_WINDOW_MS: '0' });
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => ended(child));
  let printed = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (printed += text));
  await eventually(() => /listening at/.test(printed), 60_000);
  return `ws://${machine.address}:8787`;
}

const invited = /^mcpr1[\w-]+$/m;
const expose = (...args: string[]) => ['expose', ...args, '--print-invitation', '--', 'mcp-server-filesystem', 'x'];

/** A relay, a machine with a folder `x` to share, and one that wants to use it. */
async function network(t: TestContext) {
  const [middle, desktop, laptop] = (await machines(t, 3)) as [Machine, Machine, Machine];
  mkdirSync(join(desktop.home, 'x'));
  writeFileSync(join(desktop.home, 'x/shared.txt'), 'shared');
  return { relay: await startRelay(t, middle), middle, desktop, laptop };
}

/** What the client does with an entry: it starts the command, and uses the server. */
async function useEntry(machine: Machine, { command, args }: Entry): Promise<void> {
  const [program, ...rest] = machine.command(command, ...args);
  const transport = new StdioClientTransport({
    command: program,
    args: rest,
    cwd: machine.home,
    env: { ...machine.env(), PATH: '/usr/bin:/bin:/usr/sbin:/sbin' },
    stderr: 'ignore',
  });
  const client = new Client({ name: 'reader', version: '1.0.0' });
  await client.connect(transport);
  try {
    const path = (await client.callTool({ name: 'list_allowed_directories', arguments: {} })) as Content;
    const folder = path.content[0]?.text.split('\n').at(-1)?.trim() ?? '';
    const listed = (await client.callTool({ name: 'list_directory', arguments: { path: folder } })) as Content;
    assert.equal(listed.content[0]?.text.trim(), '[FILE] shared.txt');
  } finally {
    await client.close();
  }
}
interface Content {
  content: { text: string }[];
}

void suite('two machines, two commands, one string', () => {
  for (const [client, read] of Object.entries(readers)) {
    test(`${client} lists the files of the other machine`, { timeout: 180_000 }, async (t) => {
      const { relay, desktop, laptop } = await network(t);
      const users = new Users();
      const printed = await users.start(t, desktop, expose('--relay', relay), { RELAY_SECRET: testSecret }, invited);
      const invitation = users.copy(invited.exec(printed)?.[0] ?? '');
      await users.run(laptop, ['install', client, invitation]);
      const entries = read(laptop.home);
      assert.equal(entries.length, 1);
      assert.ok(!JSON.stringify(entries).includes('mcpr1'));
      await useEntry(laptop, entries[0]!);
      assert.deepEqual([users.commands, users.copied.size], [2, 1]);
    });
  }

  test('the same with an invitation for the server, and no key on its machine', { timeout: 180_000 }, async (t) => {
    const { relay, middle, desktop, laptop } = await network(t);
    const operator = middle.command(process.execPath, bin, 'invite', '--role', 'server', '--relay', relay);
    const { stdout } = await run(operator[0], operator.slice(1), { env: middle.env({ RELAY_SECRET: testSecret }) });
    const users = new Users();
    const printed = await users.start(t, desktop, expose(invited.exec(stdout)?.[0] ?? ''), {}, invited);
    await users.run(laptop, ['install', 'cursor', users.copy(invited.exec(printed)?.[0] ?? '')]);
    await useEntry(laptop, readers['cursor']!(laptop.home)[0]!);
    assert.deepEqual([users.commands, users.copied.size], [2, 1]);
  });
});
