import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import { createInvitation, createRoomToken, createSecret, parseInvitation } from 'mcp-rendezvous/token';
import { Cli, fixture, mainFile } from '../sdk/test/cli/support/process.ts';
import { RelayProcess, testSecret } from './support/relay.ts';

const ADMIN_TOKEN = 'the-operator-is-me';

/** The account of somebody who has never run this program. */
class Account {
  readonly folder: string;
  readonly env: Record<string, string>;

  constructor(t: TestContext, env: Record<string, string> = {}) {
    this.folder = mkdtempSync(join(tmpdir(), 'account-'));
    t.after(() => rmSync(this.folder, { recursive: true }));
    this.env = { HOME: this.folder, XDG_CONFIG_HOME: join(this.folder, 'config'), ...env };
  }

  run(t: TestContext, args: readonly string[], env: Record<string, string> = {}): Cli {
    return new Cli(t, args, { ...this.env, ...env });
  }

  /** What a command that ends prints on its standard output. */
  async output(t: TestContext, args: readonly string[], env: Record<string, string> = {}): Promise<string> {
    const cli = this.run(t, args, env);
    let text = '';
    cli.process.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
    assert.equal(await cli.exit(), 0, cli.stderr);
    return text.trimEnd();
  }

  file(contents: string): string {
    const path = join(this.folder, crypto.randomUUID());
    writeFileSync(path, contents);
    return path;
  }
}

async function printed(expose: Cli): Promise<string> {
  await expose.says(/^mcpr1\S+$/m);
  return /^mcpr1\S+$/m.exec(expose.stderr)![0];
}

const initialized = async (client: Cli) => {
  const { result, error } = await client.request('initialize');
  assert.equal((result?.['serverInfo'] as { name: string } | undefined)?.name, 'fixture', JSON.stringify(error));
  return client;
};

void suite('invitations on the command line', { concurrency: 2 }, () => {
  let relay: RelayProcess;
  before(async () => {
    relay = await RelayProcess.start({ ADMIN_TOKEN });
  });
  after(() => relay.stop());

  const key = () => ({ RELAY_SECRET: testSecret, MCP_RENDEZVOUS_RELAY: relay.url });
  const sharing = ['expose', '--print-invitation', '--', ...fixture()];

  test('two commands and one string: with the key here, and nothing but the string there', async (t) => {
    const [here, there] = [new Account(t, key()), new Account(t)];
    const expose = here.run(t, sharing);
    const invitation = await printed(expose);
    for (const line of ['connect', 'install claude-desktop']) {
      assert.ok(expose.stderr.includes(`  node ${mainFile} ${line} ${invitation}\n`));
    }
    assert.match(expose.stderr, /claude mcp add server -e MCP_RENDEZVOUS_INVITATION=mcpr1\S+ -- node \S+ connect/);
    assert.match(expose.stderr, /until \d{4}-\d\d-\d\d\. Whoever has it/);
    const ways: [args: string[], env: Record<string, string>][] = [
      [['connect', invitation], {}],
      [['connect', '--invitation-file', there.file(`${invitation}\n`)], {}],
      [['connect'], { MCP_RENDEZVOUS_INVITATION: invitation }],
    ];
    for (const [args, env] of ways) {
      const client = await initialized(there.run(t, args, env));
      await client.says(/connected to server@\S+, verified by its secret/);
      await client.says(/the invitation ends at \d{4}-/);
      const { variables } = (await client.request('seen')).result as { variables: string[] };
      assert.ok(!variables.some((name) => /^MCP_RENDEZVOUS|RELAY_SECRET/.test(name)));
      client.process.stdin.end();
      assert.equal(await client.exit(), 0);
      assert.ok(!client.stderr.includes(invitation.slice(5)));
    }
    await expose.says(/client invited-\w{8} connected, verified by its secret/);
    const doctor = there.run(t, ['doctor', invitation, '--json']);
    assert.equal(await doctor.exit(), 0, JSON.stringify(doctor.messages));
    assert.equal(parseInvitation(invitation).name, 'server');
  });

  test('the same invitation counts after a restart, and is kept for this account only', async (t) => {
    const [here, there] = [new Account(t, key()), new Account(t)];
    const first = here.run(t, sharing);
    const invitation = await printed(first);
    first.process.kill('SIGTERM');
    await first.exit();
    const second = here.run(t, sharing);
    assert.equal(await printed(second), invitation);
    await initialized(there.run(t, ['connect', invitation]));
    const rooms = join(here.folder, 'config', 'mcp-rendezvous', 'rooms');
    for (const name of readdirSync(rooms, { recursive: true }) as string[]) {
      const { mode } = statSync(join(rooms, name));
      assert.equal(mode & 0o077, 0, `${name}: ${mode.toString(8)}`);
    }
    // With another key it would be refused, so that there is a new one.
    const shorter = here.run(t, ['expose', '--print-invitation', '--invite-for', '1h', '--', ...fixture()]);
    const other = await printed(shorter);
    assert.notEqual(other, invitation);
    assert.ok(parseInvitation(other).expiresAt <= Date.now() / 1000 + 3660);
  });

  test('without the secret nobody gets in: not with a token of the same key either', async (t) => {
    const here = new Account(t, key());
    const expose = here.run(t, sharing);
    const { room } = parseInvitation(await printed(expose));
    const token = await createRoomToken({ key: testSecret, room, role: 'client', subject: 'eve', ttl: 600 });
    const env = { MCP_RENDEZVOUS_RELAY: relay.url, MCP_RENDEZVOUS_TOKEN: token };
    for (const more of [{}, { MCP_RENDEZVOUS_SECRET: createSecret() }]) {
      const { error } = await new Account(t).run(t, ['connect'], { ...env, ...more }).request('initialize');
      assert.equal(error?.data?.code, 'secret_mismatch');
    }
    assert.doesNotMatch(expose.stderr, /client eve connected/);
  });

  test('it is not printed where nobody asked for it', async (t) => {
    const expose = new Account(t, key()).run(t, ['expose', '--', ...fixture()]);
    await expose.says('the invitation is printed on a terminal, or with --print-invitation');
    assert.doesNotMatch(expose.stderr, /mcpr1/);
  });

  test('a server invitation: no key on the machine that shares, which invites and takes back', async (t) => {
    const [backend, desktop, there] = [new Account(t, key()), new Account(t), new Account(t)];
    const own = await backend.output(t, ['invite', '--room', 'desk', '--role', 'server', '--for', '2h']);
    assert.equal(parseInvitation(own).role, 'server');
    const early = desktop.run(t, ['invite'], { MCP_RENDEZVOUS_INVITATION: own });
    assert.equal(await early.exit(), 2);
    assert.match(early.stderr, /No expose of this account runs with that invitation.* Start it, and try again\./);
    const expose = desktop.run(t, ['expose', own, '--print-invitation', '--', ...fixture()]);
    const first = await printed(expose);
    const client = await initialized(there.run(t, ['connect', first]));
    await client.says('verified by its secret');
    const environment = { MCP_RENDEZVOUS_INVITATION: own };
    const second = await desktop.output(t, ['invite', '--name', 'mine', '--for', '1h'], environment);
    const { name, expiresAt, id } = parseInvitation(second);
    assert.equal(name, 'mine');
    assert.ok(expiresAt <= Date.now() / 1000 + 3660);
    const other = await initialized(there.run(t, ['connect', second]));
    await expose.says(`; its invitation is "mine", ${id}\n`);
    const list = await desktop.output(t, ['invitations', 'list']);
    assert.equal(list.split('\n').length, 2);
    assert.ok(list.includes(id) && !/mcpr1|mcps1|eyJ/.test(list));
    await desktop.output(t, ['invitations', 'revoke', id]);
    await other.says(/revoked|removed/, 30_000);
    await expose.says("revoked the other peer's token, so its session ended");
    const { error } = await there.run(t, ['connect', second]).request('initialize');
    assert.equal(error?.data?.code, 'token_revoked');
    assert.deepEqual((await client.request('echo', { n: 1 })).result, { params: { n: 1 } });
    // Whoever revokes the server's takes all whom it has invited.
    const serverId = parseInvitation(own).id;
    const revoke = ['invitations', 'revoke', serverId];
    const refused = backend.run(t, revoke);
    assert.equal(await refused.exit(), 2);
    assert.match(refused.stderr, /Only the relay can revoke a server's invitation: set ADMIN_TOKEN/);
    await backend.output(t, revoke, { ADMIN_TOKEN });
    await client.says(/revoked|removed/);
    assert.equal(await expose.exit(), 1);
  });

  test("a revoked invitation of the key's ends its running session, with nothing but this account's word", async (t) => {
    const [here, there] = [new Account(t, key()), new Account(t)];
    const expose = here.run(t, sharing);
    const [kept, revoked] = [await printed(expose), await here.output(t, ['invite', '--name', 'Ada'])];
    const [one, other] = [there.run(t, ['connect', kept]), there.run(t, ['connect', revoked])];
    await Promise.all([initialized(one), initialized(other)]);
    const { id } = parseInvitation(revoked);
    await expose.says(`connected, verified by its secret; its invitation is "Ada", ${id}\n`);
    await here.output(t, ['invitations', 'revoke', id]);
    await expose.says(/the invitation \S+ was revoked/, 30_000);
    assert.equal(await other.exit(), 1, 'nobody comes in with it any more');
    assert.match(other.stderr, /The invitation was revoked\. Ask for another one\.\n$/);
    const again = there.run(t, ['connect', revoked]);
    const { error } = await again.request('initialize');
    assert.equal(error?.data?.code, 'peer_refused', JSON.stringify(error));
    assert.match(error?.message ?? '', /The invitation was revoked\. Ask for another one\./);
    assert.equal(await again.exit(), 1);
    assert.deepEqual((await one.request('echo')).result, {});
    const list = JSON.parse(await here.output(t, ['invitations', 'list', '--json'])) as { revoked?: boolean }[];
    assert.equal(list.filter((made) => made.revoked).length, 1);
  });

  test('--config prints the invitations to all of its rooms in one piece', async (t) => {
    const [here, there] = [new Account(t, key()), new Account(t)];
    const [command, ...args] = fixture();
    const file = here.file(JSON.stringify({ mcpServers: { one: { command, args }, two: { command, args } } }));
    const expose = here.run(t, [
      'expose',
      '--config',
      file,
      '--room-prefix',
      `${crypto.randomUUID()}-`,
      '--print-invitation',
    ]);
    await expose.says(/^}$/m);
    const { mcpServers } = JSON.parse(/^\{[^]*?^\}/m.exec(expose.stderr)?.[0] ?? '') as {
      mcpServers: Record<string, { args: string[]; env: Record<string, string> }>;
    };
    assert.deepEqual(Object.keys(mcpServers), ['one', 'two']);
    await Promise.all(['one', 'two'].map((name) => expose.says(`${name}: sharing`)));
    await Promise.all(['one', 'two'].map((name) => expose.says(`${name}: only clients with an invitation`)));
    for (const { env } of Object.values(mcpServers)) await initialized(there.run(t, ['connect'], env));
  });

  test('what cannot be used is refused in one line, which says why and shows nothing of it', async (t) => {
    const account = new Account(t);
    const make = async (change: object = {}) => {
      const options = { key: testSecret, room: 'desk', role: 'client', subject: 'a', ttl: 600, ...change } as const;
      return createInvitation({ relay: relay.url, token: await createRoomToken(options), secret: createSecret() });
    };
    const whole = await make();
    const cases: [args: string[], env: Record<string, string>, says: RegExp][] = [
      [['connect', whole.slice(0, -7)], {}, /incomplete or damaged/],
      [['connect', whole.replace('mcpr1', 'mcpr2')], {}, /format 2, which this version does not know/],
      [
        ['connect', await make({ ttl: 1, issuedAt: 1000 })],
        {},
        /The invitation expired at 1970\S+ Ask for another invitation\.$/m,
      ],
      [['connect', await make({ role: 'server' })], {}, /is for a server: use it with expose/],
      [['expose', whole, '--', 'node'], {}, /is for a client: use it with connect/],
      [['connect', whole, '--relay', relay.url], {}, /takes the place of --relay/],
      [['connect', whole, '--invitation-file', account.file(whole)], {}, /cannot be combined/],
      [['connect'], { MCP_RENDEZVOUS_INVITATION: whole, MCP_RENDEZVOUS_TOKEN: 'a.b.c' }, /both set/],
      [['connect', '--invitation-file', '/nowhere'], {}, /Cannot read the --invitation-file "\/nowhere" \(ENOENT\)/],
      [['expose', '--room', 'x', '--', 'node'], {}, /--room needs a signing key/],
      [
        ['expose', '--room', 'x', '--', 'node'],
        { MCP_RENDEZVOUS_TOKEN: 'a.b.c' },
        /--room cannot be combined with a token/,
      ],
      [['expose', '--', 'node'], { ...key(), MCP_RENDEZVOUS_SECRET: createSecret() }, /has a secret of its own/],
      [['invite'], {}, /No signing key is configured/],
      [['invite', '--for', 'ever'], key(), /--for must be a number of seconds/],
      [['invitations', 'revoke', 'x'], {}, /made no such invitation/],
    ];
    for (const [args, env, says] of cases) {
      const cli = account.run(t, args, env);
      cli.process.stdin.end();
      assert.equal(await cli.exit(), 2, `${args[0]} ${says}`);
      assert.match(cli.stderr, says);
      assert.equal(cli.stderr.trimEnd().split('\n').length, 1, cli.stderr);
      assert.ok(!cli.stderr.includes(whole.slice(20, 60)));
    }
    assert.ok(!existsSync(join(account.folder, 'config', 'mcp-rendezvous', 'rooms', 'x')));
  });

  test('a token comes from a command, and its end is said', async (t) => {
    const account = new Account(t, { MCP_RENDEZVOUS_RELAY: relay.url, RELAY_SECRET: testSecret });
    const room = crypto.randomUUID();
    const main = `${process.execPath} --conditions=mcp-rendezvous-source sdk/src/cli/main.ts`;
    const made = (role: string) => `${main} token --room ${room} --role ${role} --ttl 1h`;
    const expose = account.run(t, ['expose', '--token-command', made('server'), '--', ...fixture()]);
    await expose.says('sharing');
    await expose.says(/the token ends at \d{4}-/);
    const client = await initialized(account.run(t, ['connect', '--token-command', made('client')]));
    await client.says('not verified: without a secret the relay vouches for it');
    const failing = account.run(t, ['connect', '--token-command', 'echo s3cret >&2; exit 3']);
    failing.process.stdin.end();
    assert.equal(await failing.exit(), 2);
    assert.match(failing.stderr, /The --token-command failed \(3\)/);
    assert.doesNotMatch(failing.stderr, /s3cret/);
  });

  test('token says when it ends, a day from now unless told otherwise, and may let a server invite', async (t) => {
    const account = new Account(t, key());
    const cli = account.run(t, ['token', '--room', 'desk', '--role', 'server', '--invite', '90d', '--json']);
    assert.equal(await cli.exit(), 0);
    const { claims } = cli.messages[0] as unknown as { claims: { exp: number; iat: number; invite: number } };
    assert.deepEqual([claims.exp - claims.iat, claims.invite], [86_400, 90 * 86_400]);
    assert.match(cli.stderr, /the token ends at \d{4}-\S+Z/);
  });
});
