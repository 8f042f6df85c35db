import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import { decodeJwt } from 'jose';
import { type Machine, machines } from '../support/machines.ts';
import { allBlocks, blocksTestedBy, type Block } from './blocks.ts';
import { CleanEnvironment } from './clean.ts';
import { configured, type Entry, toolsOf } from './mcp-client.ts';
import { exampleRelay } from './programs.ts';

/**
 * The commands of the documents, followed literally: on three machines with nothing on them but the
 * packed packages, at a terminal where a person would sit at one.
 */
const mine = blocksTestedBy(import.meta.filename);
const executed = new Set<Block>();
const admin = 'operator-operator';

/** A README has its whole path; another page may be in any folder. */
const isNamed = (path: string, name: string): boolean =>
  path === name || (!name.endsWith('README.md') && path.endsWith(`/${name}`));

/** The one block of this test that has such a text, in a document whose name ends so. */
function block(document: string, pattern: RegExp): string {
  const found = mine.filter(({ document: path, body }) => isNamed(path, document) && pattern.test(body));
  const [only] = found;
  assert.ok(only && found.length === 1, `${document} has ${found.length} blocks like ${String(pattern)}`);
  executed.add(only);
  return only.body.replaceAll(exampleRelay, relayUrl).replaceAll('~/shared', '"$HOME/shared"');
}

const lines = (text: string): string[] => text.split('\n').filter((line) => /^\s*[^#\s]/.test(line));

let clean: CleanEnvironment;
let [middle, desktop, laptop]: Machine[] = [];
let relayUrl = '';
const undo: (() => unknown)[] = [];

before(async () => {
  clean = await CleanEnvironment.create();
  await clean.installCommands();
  const context = { after: (step: () => unknown) => void undo.push(step) } as unknown as TestContext;
  [middle, desktop, laptop] = await machines(context, 3);
  relayUrl = `ws://${middle!.address}:8787`;
  mkdirSync(join(desktop!.home, 'shared'));
  writeFileSync(join(desktop!.home, 'shared/notes.txt'), 'A boat.');
  const start = block('README.md', /RELAY_HOST=0\.0\.0\.0 mcp-rendezvous-server\s+#/);
  await clean.terminal(start, /listening at/, { on: middle!, env: { ADMIN_TOKEN: admin, DRAIN_WINDOW_MS: '0' } });
  copyFileSync(join(middle!.home, 'relay.key'), join(desktop!.home, 'relay.key'));
});
after(async () => {
  await clean?.stop();
  for (const step of undo) await step();
  await clean?.remove();
});

const invited = /^(mcpr1[\w-]+)\r?$/m;

/** Shares a server at a terminal; resolves with the invitation that it prints. */
async function share(t: TestContext, script: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
  t.after(clean.mark());
  const printed = await clean.terminal(script, invited, { on: desktop!, env });
  return invited.exec(printed)?.[1] ?? '';
}

const toolsOfLine = (line: string) => toolsOf(clean, laptop!, { command: 'sh', args: ['-euc', line] });

suite('the commands of the documents', { timeout: 900_000 }, () => {
  test('README: two machines, two commands', async (t) => {
    const began = performance.now();
    const invitation = await share(t, block('README.md', /expose .*server-everything/));
    const install = block('README.md', /install claude-desktop/);
    await clean.terminal(install, /claude_desktop_config\.json/, { on: laptop! }, `${invitation}\r`);
    const [entry] = configured(laptop!);
    assert.ok(entry);
    assert.ok((await toolsOf(clean, laptop!, entry)).includes('echo'));
    assert.ok(performance.now() - began < 300_000);
  });

  test('command line: with the key here, with the invitation there', async (t) => {
    const [here = '', there = ''] = lines(block('command-line.md', /mcp-rendezvous connect mcpr1…/));
    const invitation = await share(t, here);
    assert.ok((await toolsOfLine(there.replace('mcpr1…', invitation))).includes('list_directory'));
    const [install = '', uninstall = ''] = lines(block('command-line.md', /uninstall claude-desktop/));
    await clean.sh(install.replace('mcpr1…', invitation), { on: laptop! });
    assert.ok(configured(laptop!).length > 0);
    await clean.sh(uninstall, { on: laptop! }).catch((error: Error) => assert.match(error.message, /several|which/i));
  });

  test('command line: without the key', async (t) => {
    const invite = block('command-line.md', /invite .*> server\.invitation/);
    await clean.sh(invite, { on: middle! });
    copyFileSync(join(middle!.home, 'server.invitation'), join(desktop!.home, 'server.invitation'));
    const invitation = await share(t, block('command-line.md', /expose --invitation-file/));
    assert.ok((await toolsOfLine(`mcp-rendezvous connect ${invitation}`)).includes('list_directory'));
  });

  test('command line: with tokens, as server/README makes them', async (t) => {
    t.after(clean.mark());
    const [make = ''] = lines(block('server/README.md', /mcp-rendezvous token --key-file/)).slice(-1);
    const token = async (role: string) => (await clean.sh(make.replace('server', role), { on: middle! })).trim();
    const server = await token('server');
    assert.equal(decodeJwt(server)['room'], 'desk');
    const expose = block('command-line.md', /<token with role server>/).replace('<token with role server>', server);
    await clean.terminal(expose, /^/, { on: desktop! }); // the client waits for it
    const { body = '' } = allBlocks().find((one) => /<token with role client>/.test(one.body)) ?? {};
    const text = body.replace('<token with role client>', await token('client')).replaceAll(exampleRelay, relayUrl);
    const { desktop: entry } = (JSON.parse(text) as { mcpServers: Record<string, Entry> }).mcpServers;
    assert.ok(entry);
    assert.ok((await toolsOf(clean, laptop!, entry)).includes('list_directory'));

    const revoke = block('http-api.md', /v1\/revocations/);
    const env = { RELAY: relayUrl.replace('ws:', 'http:'), ADMIN_TOKEN: admin };
    assert.match(await clean.sh(revoke, { on: middle!, env }), /"sub":"agent-7"/);
  });

  test('sdk/README: the key in a variable', async (t) => {
    const [here = '', there = ''] = lines(block('sdk/README.md', /mcp-rendezvous connect mcpr1…/));
    const key = readFileSync(join(middle!.home, 'relay.key'), 'utf8').trim();
    const invitation = await share(t, here.replace('RELAY_SECRET=…', `RELAY_SECRET='${key}'`));
    assert.ok((await toolsOfLine(there.replace('mcpr1…', invitation))).includes('echo'));
  });

  test('every block that names this test was executed', () => {
    assert.deepEqual(
      mine.filter((one) => !executed.has(one)).map(({ document, line }) => `${document}:${line}`),
      [],
    );
  });
});
