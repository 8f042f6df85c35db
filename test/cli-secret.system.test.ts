import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import { createSecret } from 'mcp-rendezvous';
import { secretKeyBytes } from '../protocol/src/secret.ts';
import { Cli, fixture } from '../sdk/test/cli/support/process.ts';
import { RelayProcess, testSecret } from './support/relay.ts';
import { Room } from './support/room.ts';

const secret = createSecret();

void suite('the command line with an end-to-end secret', { concurrency: 2 }, () => {
  let relay: RelayProcess;
  before(async () => {
    relay = await RelayProcess.start();
  });
  after(() => relay.stop());

  const fileWith = (t: TestContext, contents: string): string => {
    const directory = mkdtempSync(join(tmpdir(), 'secret-'));
    t.after(() => rmSync(directory, { recursive: true }));
    const file = join(directory, 'file');
    writeFileSync(file, contents);
    return file;
  };

  test('secret prints a new one, and nothing else', async (t) => {
    const made = new Set<string>();
    for (let n = 0; n < 2; n++) {
      const cli = new Cli(t, ['secret']);
      assert.equal(await cli.exit(), 0);
      assert.equal(cli.stderr, '');
      assert.equal(cli.noise.length, 1);
      made.add(cli.noise[0] ?? '');
    }
    assert.equal(made.size, 2);
    for (const one of made) assert.ok(secretKeyBytes(one));
  });

  test('both sides have it, from a variable or a file: they connect, and nobody else sees it', async (t) => {
    const room = new Room(relay);
    const serverEnv = { ...(await room.env('server')), MCP_RENDEZVOUS_SECRET: secret };
    const expose = new Cli(t, ['expose', '--debug', '--', ...fixture()], serverEnv);
    await expose.says('"MCP_RENDEZVOUS_SECRET": "<the same secret as here>"');
    const connect = ['connect', '--debug', '--secret-file', fileWith(t, `${secret}\n`)];
    const client = new Cli(t, connect, await room.env('client'));
    const { variables } = (await client.request('seen')).result as { variables: string[] };
    assert.ok(!variables.includes('MCP_RENDEZVOUS_SECRET'));

    const doctor = new Cli(t, ['doctor', '--json', '--secret-file', fileWith(t, secret)], await room.env('client'));
    assert.equal(await doctor.exit(), 0, JSON.stringify(doctor.messages));
    for (const { stderr, messages } of [expose, client, doctor]) {
      assert.ok(!`${stderr}${JSON.stringify(messages)}`.includes(secret));
    }
  });

  test('one side has another one, or none: the client hears why, and so does doctor', async (t) => {
    const room = new Room(relay);
    const serverEnv = { ...(await room.env('server')), MCP_RENDEZVOUS_SECRET: secret };
    const expose = new Cli(t, ['expose', '--', ...fixture()], serverEnv);
    await expose.says('sharing');
    for (const [env, says] of [
      [{}, /This side has no end-to-end secret, and the other side seems to have one/],
      [{ MCP_RENDEZVOUS_SECRET: createSecret() }, /The end-to-end secrets differ, or only one side has one/],
    ] as const) {
      const clientEnv = { ...(await room.env('client')), ...env };
      const { error } = await new Cli(t, ['connect'], clientEnv).request('initialize');
      assert.match(error?.message ?? '', says);
      assert.deepEqual(error?.data, { code: 'secret_mismatch', retryable: false });
      const doctor = new Cli(t, ['doctor', '--json'], clientEnv);
      assert.equal(await doctor.exit(), 1);
      assert.match(JSON.stringify(doctor.messages), /"check":"peer","status":"fail","code":"secret_mismatch"/);
    }
  });

  test('every server of a configuration has it', async (t) => {
    const [command, ...args] = fixture();
    const room = new Room(relay);
    const config = fileWith(t, JSON.stringify({ mcpServers: { [room.name]: { command, args } } }));
    const env = { MCP_RENDEZVOUS_RELAY: relay.url, RELAY_SECRET: testSecret };
    const expose = new Cli(t, ['expose', '--config', config, '--secret-file', fileWith(t, secret)], env);
    await expose.says('sharing');
    const clientEnv = { ...(await room.env('client')), MCP_RENDEZVOUS_SECRET: secret };
    const client = new Cli(t, ['connect'], clientEnv);
    assert.equal((await client.request('initialize')).error, undefined);
    const { error } = await new Cli(t, ['connect'], await room.env('client')).request('initialize');
    assert.deepEqual(error?.data, { code: 'secret_mismatch', retryable: false });
  });

  for (const [what, args, env, says] of [
    [
      'a passphrase',
      [],
      { MCP_RENDEZVOUS_SECRET: 'correct horse battery staple 42' },
      /MCP_RENDEZVOUS_SECRET does not contain a complete end-to-end/,
    ],
    [
      'one that is cut short',
      [],
      { MCP_RENDEZVOUS_SECRET: secret.slice(0, -1) },
      /not .*a complete end-to-end secret.*mcp-rendezvous secret/,
    ],
    [
      'a file that is not there',
      ['--secret-file', '/nowhere/secret'],
      {},
      /Cannot read the --secret-file "\/nowhere\/secret"/,
    ],
    [
      'a file with something else',
      ['--secret-file', import.meta.filename],
      {},
      /The --secret-file does not contain a complete end-to-end/,
    ],
    ['the secret in an argument', ['--secret-file', secret], {}, /An argument contains an end-to-end secret/],
  ] as const) {
    for (const [command, role, more] of [
      ['expose', 'server', ['--', ...fixture()]],
      ['connect', 'client', []],
      ['doctor', 'client', []],
    ] as const) {
      test(`${command} with ${what}: one line that does not quote it, and exit code 2`, async (t) => {
        const given = { ...(await new Room(relay).env(role)), ...env };
        const cli = new Cli(t, [command, ...args, ...more], given);
        cli.process.stdin.end();
        assert.equal(await cli.exit(), 2);
        assert.equal(cli.stderr.trimEnd().split('\n').length, 1);
        assert.match(cli.stderr, says);
        assert.ok(!cli.stderr.includes(secret.slice(0, -1)) && !cli.stderr.includes('horse'));
      });
    }
  }
});
