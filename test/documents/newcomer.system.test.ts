import assert from 'node:assert/strict';
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import { type Machine, machines } from '../support/machines.ts';
import { namedBlocks } from '../support/terminal.ts';
import { root } from './blocks.ts';
import { CleanEnvironment } from './clean.ts';
import { configured, toolsOf } from './mcp-client.ts';
import { exampleRelay } from './programs.ts';

/**
 * What somebody does who has never seen this project: they follow a page from its first command to
 * its last one, with the packed packages and nothing of the repository. The limit of each test is
 * the time that the documents promise. The production page of Compose is followed by test/compose.
 */
const minutes = 60_000;

/** The named blocks of a page, as a reader copies them. */
function follow(path: string, replace: Record<string, string> = {}) {
  const text = readFileSync(join(root, 'docs', path), 'utf8');
  const blocks = namedBlocks(text, replace);
  return { text, block: (name: string): string => blocks.get(name) ?? assert.fail(`${path} has no "${name}"`) };
}

let clean: CleanEnvironment;
let [desktop, laptop]: Machine[] = [];
const undo: (() => unknown)[] = [];

before(
  async () => {
    clean = await CleanEnvironment.create();
    await clean.installCommands();
    // What the commands need is in the packages, and not in the clone.
    for (const name of readdirSync(clean.clone).filter((file) => file.endsWith('.tgz'))) {
      renameSync(join(clean.clone, name), join(clean.app, name));
    }
    rmSync(clean.clone, { recursive: true });
    const context = { after: (step: () => unknown) => void undo.push(step) };
    [desktop, laptop] = await machines(context, 2);
  },
  { timeout: 5 * minutes },
);
after(async () => {
  await clean?.stop();
  for (const step of undo) await step();
  await clean?.remove();
});

test("the README's line installs both commands", () => {
  assert.deepEqual(readdirSync(clean.bin).toSorted(), ['mcp-rendezvous', 'mcp-rendezvous-server', 'npx']);
});

test('quickstart: the demo, and a server that is shared on one machine', { timeout: 2 * minutes }, async (t) => {
  const { text, block } = follow('start/quickstart.md');
  const printed = await clean.sh(`${block('sh demo')} 2>&1`);
  // On a busy machine the demo may end before it has found a direct path.
  const [, answer = ''] = /^- `(client [^`]+)`/m.exec(text) ?? [];
  assert.ok(answer && printed.includes(answer), printed);
  assert.deepEqual(readdirSync(clean.home), []);

  t.after(clean.mark());
  const relay = await clean.start(['sh', '-euc', block('sh relay')], /^mcp-rendezvous connect \S+$/m, { on: laptop! });
  const [expose = ''] = /^mcp-rendezvous expose .+$/m.exec(relay) ?? [];
  const invitation = await share(expose, laptop!);
  assert.ok((await use(invitation, laptop!)).includes('echo'));
});

/** What a terminal shows of the invitation, when a reader shares a server there. */
async function share(line: string, machine: Machine): Promise<string> {
  const invited = /^(mcpr1[\w-]+)\r?$/m;
  return invited.exec(await clean.terminal(line, invited, { on: machine }))?.[1] ?? '';
}

/** The tools that Claude Desktop has once a reader has pasted the invitation. */
async function use(invitation: string, machine: Machine): Promise<string[]> {
  const line = 'mcp-rendezvous install claude-desktop';
  await clean.terminal(line, /Quit Claude Desktop/, { on: machine }, `${invitation}\r`);
  const entry = configured(machine).at(-1);
  assert.ok(entry);
  return await toolsOf(clean, machine, entry);
}

test('two machines: relay, share, use, doctor, revoke', { timeout: 5 * minutes }, async (t) => {
  t.after(clean.mark());
  const listening = /listening at (http:\/\/10\.[\d.:]+)/;
  const script = follow('start/two-machines.md').block('sh relay');
  const relay = await clean.start(['sh', '-euc', script], listening, { on: desktop! });
  const [, url = ''] = listening.exec(relay) ?? [];
  const { text, block } = follow('start/two-machines.md', { [exampleRelay]: url });
  const invitation = await share(block('sh expose'), desktop!);
  rmSync(join(laptop!.home, '.config'), { recursive: true, force: true });
  assert.ok((await use(invitation, laptop!)).includes('list_directory'));
  assert.match(await clean.sh(block('sh doctor'), { on: laptop! }), /^You will connect /m);

  const [invite = '', list = '', revoke = ''] = Array.from(
    text.matchAll(/`(mcp-rendezvous invit[^`]+)`/g),
    ([, command]) => command!.replaceAll(exampleRelay, url),
  );
  await clean.sh(invite, { on: desktop! });
  const ids = (await clean.sh(list, { on: desktop! }))
    .trim()
    .split('\n')
    .map((line) => line.split('\t')[0]!);
  assert.equal(ids.length, 2);
  for (const id of ids) await clean.sh(revoke.replace('<id>', id), { on: desktop! });
  const { message } = await clean.sh(block('sh doctor'), { on: laptop! }).then(assert.fail, (error: Error) => error);
  assert.match(message, /^fail +peer .*The invitation was revoked\. Ask for another one\./m);
});

suite('Node: an application of one folder', { timeout: 10 * minutes }, () => {
  const { text, block } = follow('guides/node.md');
  const shown = /\n```\n(server: [^`]+)```\n/.exec(text)?.[1];
  const at = () => ({ on: desktop!, cwd: clean.app });
  before(async () => {
    // The packages come from the registry, which the machines do not reach.
    await clean.sh(block('sh set-up'), { cwd: clean.app });
    for (const name of ['server', 'client']) writeFileSync(join(clean.app, `${name}.ts`), block(`ts ${name}`));
  });

  async function startServer(t: TestContext): Promise<void> {
    t.after(clean.mark());
    await clean.start(['sh', '-euc', block('sh relay')], /listening at/, at());
    await clean.start(['sh', '-euc', block('sh server')], /^waiting for clients$/m, at());
  }

  test('both ends in TypeScript print what the page shows', async (t) => {
    await startServer(t);
    const printed = await clean.sh(block('sh client'), at());
    // The names are this machine's, and a busy one may find no direct path in time.
    const anywhere = (lines = '') => lines.replaceAll(/@[\w.-]+?(?='s |$)|(?<=^path: )\w+/gm, '');
    assert.equal(anywhere(printed), anywhere(shown));
  });

  test('tokens of a backend in Python', async (t) => {
    await startServer(t);
    const tokens = follow('guides/tokens.md');
    writeFileSync(join(clean.app, 'room_token.py'), tokens.block('python token'));
    assert.match(await clean.sh(tokens.block('sh python-token'), at()), /^ok +room\.join [^]*^You will connect/m);
    const printed = await clean.sh('MCP_RENDEZVOUS_TOKEN=$(cat agent.token) node client.ts', at());
    assert.match(printed, /^Hello Ada, says agent-7's own server\.$/m);
  });
});
