import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { Client } from '@modelcontextprotocol/client';
import { listen, WebRTCClientTransport } from 'mcp-rendezvous';
import { createServer } from '../interop/exchange.ts';
import { packageFolder, pathOfVersion2, virtualPython } from '../interop/python.ts';
import { RelayProcess, testSecret } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { namedBlocks, Terminal } from '../support/terminal.ts';
import { eventually } from '../support/wait.ts';
import { allBlocks, blocksTestedBy, place, root } from './blocks.ts';
import { exampleRelay } from './programs.ts';

/** What Python can tell of the documents: its own blocks, and forms for which it has a parser. */
const run = promisify(execFile);
const python = '/usr/bin/python3';
const patienceMs = 60_000;

/** The guide's blocks by their names, with this relay. */
function blocksOfGuide(relay: RelayProcess): (name: string) => string {
  const text = readFileSync(join(root, 'docs/guides/python.md'), 'utf8');
  const blocks = namedBlocks(text, { [exampleRelay]: relay.ws, './examples/python': packageFolder });
  assert.equal(blocks.size, blocksTestedBy(import.meta.filename).length);
  return (name) => blocks.get(name) ?? assert.fail(`docs/guides/python.md has no block "${name}"`);
}

/**
 * A terminal in which the guide's package is installed as it says, in a folder of its own and with
 * what the virtual environment has of the rest.
 */
async function readerOf(t: TestContext, block: (name: string) => string) {
  const terminal = new Terminal(t);
  const options = '-q --no-deps --no-build-isolation --disable-pip-version-check --target site';
  const install = block('sh install').replace('pip install', `${virtualPython()} -m pip install ${options}`);
  await terminal.run(install);
  assert.ok(existsSync(join(terminal.folder, 'site/mcp_rendezvous/py.typed')));
  const path = `${join(terminal.folder, 'site')}:${pathOfVersion2()}`;
  const set = `export PATH='${join(virtualPython(), '..')}':"$PATH" PYTHONPATH='${path}'\n`;
  return { terminal, set };
}

suite('what Python reads in the documents', () => {
  test('the guide for Python: the package is installed; a server is shared, and a client calls it', async (t) => {
    const relay = await RelayProcess.start();
    t.after(() => relay.stop());
    const block = blocksOfGuide(relay);
    const { terminal, set } = await readerOf(t, block);
    const named = { 'server.py': 'python server', 'client.py': 'python client', 'desktop.py': 'python desktop' };
    for (const [file, name] of Object.entries(named)) await writeFile(join(terminal.folder, file), block(name));
    await writeFile(join(terminal.folder, 'relay.key'), testSecret, { mode: 0o600 });

    const shared = block('sh expose').replace('mcp-rendezvous expose', 'exec mcp-rendezvous expose --print-invitation');
    const expose = terminal.start(set + shared);
    const invitation = await expose.says(/^(mcpr1\S+)$/m);
    const called = await terminal.run(`${set}MCP_RENDEZVOUS_INVITATION=${invitation} python client.py`);
    assert.equal(called, 'Hello, Ada!\n');

    const room = new Room(relay);
    const token = await room.token('server');
    const env = `MCP_RENDEZVOUS_RELAY=${relay.ws} MCP_RENDEZVOUS_TOKEN=${token}`;
    const desktop = terminal.start(`${set}${env} exec python desktop.py`);
    // One client after the other. The second one may come before the server has heard that the
    // first one closed, and is then told to try again.
    for (const name of ['Grace', 'Edsger']) {
      await eventually(async () => {
        const transport = new WebRTCClientTransport({ relay: relay.ws, token: await room.token('client') });
        const client = new Client({ name: 'caller', version: '1.0.0' });
        try {
          await client.connect(transport);
          const { content } = await client.callTool({ name: 'greet', arguments: { name } });
          assert.deepEqual(content, [{ type: 'text', text: `Hello, ${name}!` }]);
          return true;
        } catch (error) {
          if ((error as { retryable?: boolean }).retryable !== true) throw error;
          return false;
        } finally {
          await client.close();
        }
      }, patienceMs);
    }
    await desktop.stop();
  });

  test('the guide for Python: a client with mcp-webrtc', async (t) => {
    const relay = await RelayProcess.start();
    t.after(() => relay.stop());
    const block = blocksOfGuide(relay);
    const room = new Room(relay);
    const server = createServer();
    t.after(() => server.close());
    const listener = await listen({ relay: relay.ws, token: await room.token('server') }, (transport) =>
      server.connect(transport),
    );
    t.after(() => listener.close());
    // As the prompt of `python -m asyncio` takes it: with await at the top.
    const program = [
      'import ast, asyncio, sys',
      'code = compile(sys.argv[1], "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)',
      'async def main():',
      '    await eval(code, {"token": sys.argv[2]})',
      'asyncio.run(main())',
    ].join('\n');
    const env = { ...process.env, PYTHONPATH: join(packageFolder, 'src') };
    const args = ['-B', '-c', program, block('python mcp-webrtc'), await room.token('client')];
    await run(virtualPython(), args, { env, timeout: patienceMs });
    await eventually(() => server.server.getClientVersion()?.name === 'mcp', patienceMs);
  });

  test('the package for Python is typed: mypy finds nothing', async () => {
    const args = ['-m', 'mypy', '--cache-dir', join(virtualPython(), '../../mypy'), 'src'];
    const { stdout } = await run(virtualPython(), args, { cwd: packageFolder, timeout: 2 * patienceMs });
    assert.match(stdout, /^Success: no issues found in \d+ source files$/m);
  });

  for (const block of allBlocks().filter(({ language }) => language === 'xml' || language === 'ini')) {
    test(`${place(block)} parses`, async () => {
      const parser = {
        xml: 'import plistlib; plistlib.loads(sys.argv[1].encode())',
        ini: 'import configparser; c = configparser.ConfigParser(interpolation=None, strict=False); c.optionxform = str; c.read_string(sys.argv[1]); assert c.sections()',
      }[block.language as 'xml' | 'ini'];
      await run(python, ['-c', `import sys; ${parser}`, block.body]);
    });
  }
});
