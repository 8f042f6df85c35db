import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { suite, test, type TestContext } from 'node:test';
import { createInvitation, createSecret } from 'mcp-rendezvous-protocol';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { pastedInvitation } from '../../../src/cli/pasted-invitation.ts';
import { Cli } from '../support/process.ts';

const key = 'a secret of thirty-two characters';
const token = await createRoomToken({ key, room: 'desk', role: 'client', subject: 'ann', ttl: 600, id: 'i' });
const common = { relay: 'wss://relay.example', secret: createSecret(), name: 'files' };
const invitation = createInvitation({ ...common, token });
const ofServer = createInvitation({
  ...common,
  token: await createRoomToken({ key, room: 'desk', role: 'server', subject: 'ann', ttl: 600, id: 'j' }),
});
const past = createInvitation({
  ...common,
  relay: 'ws://127.0.0.1:9',
  token: await createRoomToken({ key, room: 'desk', role: 'client', subject: 'ann', ttl: 60, id: 'k', issuedAt: 1e9 }),
});

function home(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'home-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

async function run(t: TestContext, args: string[], env: Record<string, string>) {
  const cli = new Cli(t, args, env);
  cli.process.stdin.end();
  const code = await cli.exit();
  assert.ok(!cli.stderr.includes(invitation) && !cli.stderr.includes(token));
  return { code, stderr: cli.stderr, stdout: cli.noise.join('\n') };
}

void suite('the command install', { concurrency: 2 }, () => {
  test('adds a server and says where it leads, and uninstall takes it out', async (t) => {
    const HOME = home(t);
    const { code, stderr } = await run(t, ['install', 'cursor', invitation], { HOME });
    assert.equal(code, 0, stderr);
    assert.match(
      stderr,
      /installed: files in Cursor, room desk through wss:\/\/relay\.example, until 20\d\d-\d\d-\d\d$/m,
    );
    const file = join(HOME, '.cursor/mcp.json');
    const { mcpServers } = JSON.parse(readFileSync(file, 'utf8')) as { mcpServers: { files: { args: string[] } } };
    assert.match(mcpServers.files.args[0] ?? '', /sdk\/bin\/mcp-rendezvous\.js$/);
    assert.match((await run(t, ['install', 'cursor', invitation], { HOME })).stderr, /already installed: files/);
    const removed = await run(t, ['uninstall', 'cursor'], { HOME });
    assert.match(removed.stderr, /removed files from Cursor/);
    assert.ok(!existsSync(file));
    assert.match((await run(t, ['uninstall', 'cursor'], { HOME })).stderr, /Cursor has no server of mcp-rendezvous/);
  });

  test('--print shows the entry, and writes nothing', async (t) => {
    const HOME = home(t);
    const file = join(HOME, 'invitation');
    writeFileSync(file, `${invitation}\n`);
    const args = ['install', 'codex', '--print', '--name', 'desk', '--invitation-file', file];
    const { code, stdout } = await run(t, args, { HOME });
    assert.equal(code, 0);
    assert.match(stdout, /^\[mcp_servers\.desk\]\ncommand = /);
    assert.ok(!existsSync(join(HOME, '.codex')) && !existsSync(join(HOME, '.config')));
  });

  const mistakes: [name: string, args: string[], env: Record<string, string>, says: RegExp][] = [
    ['an unknown client', ['emacs', invitation], {}, /Allowed choices are claude-desktop, claude-code, cursor/],
    ['no invitation', ['cursor'], {}, /No invitation is given\. Pass it .* or in MCP_RENDEZVOUS_INVITATION/],
    ['half an invitation', ['cursor', invitation.slice(0, 90)], {}, /The invitation cannot be used/],
    ['the invitation of a server', ['cursor', ofServer], {}, /is for a server: use it with expose/],
    [
      'an invitation that has expired',
      ['cursor', past],
      {},
      /The invitation expired at 2001-09-09\S+ Ask for another invitation\./,
    ],
    ['something else in the variable', ['cursor'], { MCP_RENDEZVOUS_INVITATION: 'abc' }, /does not begin with mcpr1/],
  ];
  for (const [name, args, env, says] of mistakes) {
    test(`with ${name}: one line, exit code 2, and nothing is written`, async (t) => {
      const HOME = home(t);
      const { code, stderr } = await run(t, ['install', ...args], { HOME, ...env });
      assert.deepEqual([code, stderr.trimEnd().split('\n').length], [2, 1], stderr);
      assert.match(stderr, says);
      assert.ok(!existsSync(join(HOME, '.cursor')));
    });
  }
});

void suite('an invitation that is asked for', () => {
  const terminal = () => {
    const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => stdin });
    const stderr = Object.assign(new PassThrough(), { isTTY: true });
    const streams = [stdin, stderr] as unknown as Parameters<typeof pastedInvitation>;
    return { stdin, stderr, streams };
  };

  test('is pasted at a terminal, which does not show it', async () => {
    const { stdin, stderr, streams } = terminal();
    const text = pastedInvitation(...streams);
    stdin.write(invitation.slice(0, 100));
    stdin.write(`${invitation.slice(100)}\r`);
    assert.equal(await text, invitation);
    const shown = String(stderr.read());
    assert.match(shown, /^Paste the invitation/);
    assert.ok(!shown.includes(invitation.slice(0, 20)));
  });

  test('may be given up', async () => {
    const { stdin, streams } = terminal();
    const text = pastedInvitation(...streams);
    stdin.write('\u0003');
    await assert.rejects(text, { code: 'bad_option', message: 'No invitation was pasted.' });
  });
});
