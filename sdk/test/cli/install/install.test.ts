import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { createInvitation, createSecret, parseInvitation } from 'mcp-rendezvous-protocol';
import { createRoomToken, type RoomTokenOptions } from 'mcp-rendezvous-protocol/token';
import { parse as parseToml } from 'smol-toml';
import { sampled } from '../../../../test/support/full.ts';
import { type Account, clientConfig, type ClientName, clientNames } from '../../../src/cli/install/clients.ts';
import { install, planEntry, uninstall } from '../../../src/cli/install/install.ts';

const launcher = ['/opt/node/bin/node', '/opt/mcp rendezvous/bin/mcp-rendezvous.js'] as [string, string];
const relay = 'wss://relay.example';

async function invite(options: Partial<RoomTokenOptions> = {}, name = "Ann's desktop"): Promise<string> {
  const key = 'a secret of thirty-two characters';
  const token = await createRoomToken({
    key,
    room: 'desk',
    role: 'client',
    subject: 'ann',
    ttl: 60,
    id: 'i',
    ...options,
  });
  return createInvitation({ relay, token, secret: createSecret(), name });
}
const invitation = await invite();

/** A home folder of the test's own. */
function home(t: TestContext): Account {
  const folder = mkdtempSync(join(tmpdir(), 'install-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return { platform: 'linux', env: {}, home: folder, exists: existsSync };
}

function add(client: ClientName, account: Account, { text = invitation, name }: { text?: string; name?: string } = {}) {
  const parsed = parseInvitation(text, { now: 0 });
  const planned = planEntry({ client, account, name }, parsed, launcher);
  return { ...planned, changed: install({ client, account, name }, planned, text, parsed) };
}

function fileOf(client: ClientName, account: Account, contents?: string | Buffer): string {
  const { path } = clientConfig(client, account);
  if (contents === undefined) return path;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, contents);
  return path;
}

/** What the client reads. */
function entries(client: ClientName, account: Account): Record<string, unknown> {
  const { path, key, format } = clientConfig(client, account);
  const text = readFileSync(path, 'utf8').replace(/^\ufeff/, '');
  const data = format === 'toml' ? structuredClone(parseToml(text)) : (JSON.parse(text) as Record<string, unknown>);
  return data[key] as Record<string, unknown>;
}

/** Files as the clients write them. */
const usual: Record<ClientName, string> = {
  'claude-desktop': '{\n  "mcpServers": {\n    "fs": {\n      "command": "npx"\n    }\n  },\n  "preferences": {}\n}',
  'claude-code':
    '{\n  "numStartups": 34,\n  "projects": {\n    "/p": {\n      "mcpServers": {}\n    }\n  },\n  "mcpServers": {}\n}',
  cursor: '{\n  "mcpServers": {\n  }\n}\n',
  vscode: '{\n\t"servers": {},\n\t"inputs": []\n}',
  codex: 'model = "gpt-5"\n\n[projects."/p"]\ntrust_level = "trusted"\n',
};

for (const client of clientNames) {
  void suite(`install in ${client}`, () => {
    test('writes an entry that names the bin and a private file with the invitation', (t) => {
      const account = home(t);
      fileOf(client, account, usual[client]);
      const { invitationFile, changed } = add(client, account);
      assert.ok(changed);
      const typed = ['claude-code', 'cursor', 'vscode'].includes(client);
      assert.deepEqual(entries(client, account)['Ann-s-desktop'], {
        ...(typed && { type: 'stdio' }),
        command: launcher[0],
        args: [launcher[1], 'connect', '--invitation-file', invitationFile],
      });
      assert.equal(readFileSync(invitationFile, 'utf8').trim(), invitation);
      assert.equal(statSync(invitationFile).mode & 0o777, 0o600);
      assert.equal(statSync(dirname(invitationFile)).mode & 0o777, 0o700);
    });

    test('does nothing the second time', (t) => {
      const account = home(t);
      const path = fileOf(client, account, usual[client]);
      add(client, account);
      const before = readFileSync(path);
      const { ino } = statSync(path);
      assert.equal(add(client, account).changed, false);
      assert.deepEqual(readFileSync(path), before);
      assert.equal(statSync(path).ino, ino);
    });

    test('a newer invitation for the same room replaces the file, not the entry', async (t) => {
      const account = home(t);
      const { invitationFile } = add(client, account);
      const renewed = await invite({ id: 'j' });
      assert.equal(add(client, account, { text: renewed }).changed, false);
      assert.equal(readFileSync(invitationFile, 'utf8').trim(), renewed);
    });

    test('an invitation to another room needs another name', async (t) => {
      const account = home(t);
      const path = fileOf(client, account, usual[client]);
      const { invitationFile } = add(client, account);
      const before = readFileSync(path);
      const other = await invite({ room: 'other' });
      assert.throws(() => add(client, account, { text: other }), /already has a server "Ann-s-desktop".*--name/);
      assert.deepEqual(readFileSync(path), before);
      assert.equal(readFileSync(invitationFile, 'utf8').trim(), invitation);
      add(client, account, { text: other, name: 'other' });
      assert.throws(() => uninstall({ client, account }), /several servers.*"Ann-s-desktop", "other"/);
      assert.equal(uninstall({ client, account, name: 'other' }).changed, true);
      assert.deepEqual(readFileSync(path), before);
    });

    test('an invitation that differs in upper and lower case only does not take its file', async (t) => {
      const account = home(t);
      const path = fileOf(client, account, usual[client]);
      const { invitationFile } = add(client, account);
      const before = readFileSync(path);
      const other = await invite({ room: 'other' }, "ANN'S Desktop");
      assert.throws(() => add(client, account, { text: other }), /"Ann-s-desktop".*similar to "ANN-S-Desktop".*--name/);
      assert.deepEqual(readFileSync(path), before);
      assert.deepEqual(readdirSync(dirname(invitationFile)).toSorted(), [
        'Ann-s-desktop.invitation',
        'Ann-s-desktop.json',
      ]);
    });

    test('an entry of somebody else is left alone', (t) => {
      const account = home(t);
      const foreign = client === 'codex' ? '[mcp_servers.desk]\ncommand = "x"\n' : '';
      const { key } = clientConfig(client, account);
      const contents = foreign || JSON.stringify({ [key]: { desk: { command: 'x' } } });
      const path = fileOf(client, account, contents);
      assert.throws(() => add(client, account, { name: 'desk' }), /did not install/);
      assert.throws(() => uninstall({ client, account, name: 'desk' }), /did not install/);
      assert.equal(readFileSync(path, 'utf8'), contents);
      assert.ok(!existsSync(join(account.home, '.config/mcp-rendezvous')));
    });

    test('an entry of an older program is replaced', (t) => {
      const account = home(t);
      const path = fileOf(client, account, usual[client]);
      const parsed = parseInvitation(invitation, { now: 0 });
      const old = planEntry({ client, account }, parsed, ['/opt/node/bin/node', '/old/bin.js']);
      install({ client, account }, old, invitation, parsed);
      assert.equal(add(client, account).changed, true);
      const { args } = entries(client, account)['Ann-s-desktop'] as { args: string[] };
      assert.equal(args[0], launcher[1]);
      uninstall({ client, account });
      assert.equal(readFileSync(path, 'utf8'), usual[client]);
    });

    test('an entry that is replaced in a file that was made for it leaves no file', (t) => {
      const account = home(t);
      const path = fileOf(client, account);
      const parsed = parseInvitation(invitation, { now: 0 });
      const old = planEntry({ client, account }, parsed, ['/opt/node/bin/node', '/old/bin.js']);
      install({ client, account }, old, invitation, parsed);
      assert.equal(add(client, account).changed, true);
      uninstall({ client, account });
      assert.ok(!existsSync(path));
    });

    test('an entry that the user took out leaves its name for another room', async (t) => {
      const account = home(t);
      const path = fileOf(client, account, usual[client]);
      add(client, account);
      writeFileSync(path, usual[client]);
      assert.equal(add(client, account, { text: await invite({ room: 'other' }) }).changed, true);
      uninstall({ client, account });
      assert.equal(readFileSync(path, 'utf8'), usual[client]);
    });

    test('uninstall gives the file back, and the invitation is gone', (t) => {
      const account = home(t);
      const path = fileOf(client, account, usual[client]);
      const { invitationFile } = add(client, account);
      assert.equal(uninstall({ client, account }).changed, true);
      assert.equal(readFileSync(path, 'utf8'), usual[client]);
      assert.deepEqual(readdirSync(dirname(invitationFile)), []);
      assert.equal(uninstall({ client, account }).changed, false);
      assert.equal(uninstall({ client, account, name: 'nothing' }).changed, false);
    });

    test('without a folder and a file both are made, and the file is removed again', (t) => {
      const account = home(t);
      const path = fileOf(client, account);
      add(client, account);
      assert.equal(statSync(path).mode & 0o777, 0o600);
      uninstall({ client, account });
      assert.ok(!existsSync(path));
    });

    test('a byte order mark, CRLF and tabs stay', (t) => {
      const account = home(t);
      const contents = `\ufeff${usual[client].replaceAll('  ', '\t').replaceAll('\n', '\r\n')}`;
      const path = fileOf(client, account, contents);
      add(client, account);
      const written = readFileSync(path, 'utf8');
      assert.ok(written.startsWith('\ufeff') && !/[^\r]\n/.test(written) && !written.includes('  '));
      assert.ok('Ann-s-desktop' in entries(client, account));
      uninstall({ client, account });
      assert.equal(readFileSync(path, 'utf8'), contents);
    });

    test('a broken file is refused, and stays as it is', (t) => {
      const account = home(t);
      const broken = client === 'codex' ? '[mcp_servers.a\nsecret = "s3cret"' : '{\n  "token": "s3cret",\n';
      for (const contents of [Buffer.from(broken), Buffer.from('{}', 'utf16le'), Buffer.from([0xff, 0xfe, 0x00])]) {
        const path = fileOf(client, account, contents);
        assert.throws(
          () => add(client, account),
          ({ message }: Error) => message.includes('Cannot edit') && !message.includes('s3cret'),
        );
        assert.deepEqual(readFileSync(path), contents);
        assert.deepEqual(
          readdirSync(dirname(path)).filter((name) => name.startsWith(basename(path))),
          [basename(path)],
        );
      }
      assert.ok(!existsSync(join(account.home, '.config/mcp-rendezvous')));
    });

    test('a link stays a link, and the mode and what was there are kept', (t) => {
      const account = home(t);
      const path = fileOf(client, account);
      mkdirSync(dirname(path), { recursive: true });
      const target = join(account.home, 'dotfiles');
      writeFileSync(target, usual[client]);
      chmodSync(target, 0o640);
      symlinkSync(target, path);
      add(client, account);
      assert.ok(lstatSync(path).isSymbolicLink());
      assert.ok('Ann-s-desktop' in entries(client, account));
      assert.equal(statSync(target).mode & 0o777, 0o640);
      const backup = `${path}.mcp-rendezvous-backup`;
      assert.equal(readFileSync(backup, 'utf8'), usual[client]);
      assert.equal(statSync(backup).mode & 0o777, 0o640);
    });

    test('a link to a file that is not there yet makes the file', (t) => {
      const account = home(t);
      const path = fileOf(client, account);
      mkdirSync(dirname(path), { recursive: true });
      symlinkSync('later', path);
      add(client, account);
      assert.ok(lstatSync(path).isSymbolicLink() && lstatSync(join(dirname(path), 'later')).isFile());
    });
  });
}

void suite('install', () => {
  test("takes a name that every client takes from the invitation's, or from its room", async (t) => {
    const account = home(t);
    const named = async (name: string | undefined, room = 'desk') => {
      const { name: _, ...parsed } = parseInvitation(await invite({ room }));
      return planEntry({ client: 'codex', account }, { ...parsed, ...(name !== undefined && { name }) }, launcher).name;
    };
    assert.equal(await named('Büro: files'), 'B-ro-files');
    assert.equal(await named('__proto__'), 'proto');
    assert.equal(await named('../../etc'), 'etc');
    assert.equal(await named('日本'), 'mcp-rendezvous');
    assert.equal(await named('x'.repeat(90)), 'x'.repeat(64));
    assert.equal(await named(undefined, 'laptop-x1'), 'laptop-x1');
    for (const name of ['', '__proto__', '../x', 'a b', 'x'.repeat(65)]) {
      assert.throws(() => add('codex', account, { name }), /--name must be/);
    }
  });

  test('says where it cannot write, and leaves nothing behind', (t) => {
    const account = home(t);
    writeFileSync(join(account.home, '.cursor'), 'a file where a folder should be');
    assert.throws(() => add('cursor', account), /Cannot read ".*mcp\.json" \(ENOTDIR\)/);
    mkdirSync(fileOf('claude-code', account));
    assert.throws(() => add('claude-code', account), /\(EISDIR\)/);
    assert.ok(!existsSync(join(account.home, '.config/mcp-rendezvous')));
  });

  test('reads an entry that the client has written anew', (t) => {
    const account = home(t);
    const path = fileOf('claude-code', account, usual['claude-code']);
    add('claude-code', account);
    const data = JSON.parse(readFileSync(path, 'utf8')) as { mcpServers: Record<string, object> };
    const rewritten = { mcpServers: { ...data.mcpServers, later: {} }, numStartups: 35 };
    writeFileSync(path, JSON.stringify(rewritten));
    assert.equal(add('claude-code', account).changed, false);
    uninstall({ client: 'claude-code', account });
    assert.equal(readFileSync(path, 'utf8'), '{"mcpServers":{"later":{}},"numStartups":35}');
  });

  test('any number of servers in any order: uninstalled, every file has its bytes again', (t) => {
    const account = home(t);
    const steps = fc.record({
      client: fc.constantFrom(...clientNames),
      contents: fc.constantFrom(undefined, '', '\n', 'usual', 'usual crlf'),
      names: fc.uniqueArray(fc.constantFrom<string[]>('a', 'b', 'c-1', 'desk_2'), { minLength: 1 }),
    });
    fc.assert(
      fc.property(steps, ({ client, contents, names }) => {
        const path = fileOf(client, account);
        rmSync(path, { force: true });
        const text = contents
          ?.replace('usual', usual[client])
          .replace(/^([^]*) crlf$/, (_, lines: string) => lines.replaceAll('\n', '\r\n'));
        if (text !== undefined) fileOf(client, account, text);
        for (const name of names) add(client, account, { name });
        assert.deepEqual(
          Object.keys(entries(client, account)).filter((name) => names.includes(name)),
          names,
        );
        for (const name of names.toReversed()) assert.ok(uninstall({ client, account, name }).changed);
        assert.equal(existsSync(path) ? readFileSync(path, 'utf8') : undefined, text);
      }),
      { numRuns: sampled(60) },
    );
  });
});
