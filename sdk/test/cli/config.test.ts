import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { readConfig } from '../../src/cli/config.ts';
import { readConnection } from '../../src/cli/connection-flags.ts';
import { createLog } from '../../src/cli/log.ts';
import { createRoomToken, createSecret } from 'mcp-rendezvous-protocol/token';

const key = 'a secret that is at least 32 bytes long';
/** With a secret for all of them nothing is kept in this account's settings. */
const signing = { RELAY_SECRET: key, MCP_RENDEZVOUS_SECRET: createSecret() };

function fileOf(t: TestContext, content: string | Uint8Array): string {
  const directory = mkdtempSync(join(tmpdir(), 'config-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'file');
  writeFileSync(file, content);
  return file;
}

/** What `mcpServers` of a file becomes. */
const read = (t: TestContext, mcpServers: object, env: NodeJS.ProcessEnv) =>
  readConfig(
    [],
    { relay: 'wss://relay.example', config: fileOf(t, JSON.stringify({ mcpServers })), maxSessions: '64' },
    { ...signing, ...env },
    createLog('silent', () => {}),
  );

test('variables are replaced in the command, args, env, cwd and url, in the forms of MCP clients', (t) => {
  const env = { HOME: '/home/ada', KEY: 's3cret', EMPTY: '' };
  const [command, url] = read(
    t,
    {
      command: {
        command: '${BIN:-node}',
        args: ['${HOME}/server.js', '${EMPTY}', '${env:HOME}', '$HOME', '${EMPTY:-x}'],
        env: { API_KEY: '${KEY}', PLAIN: 'a' },
        cwd: '${HOME}',
      },
      url: { url: 'https://${HOST:-mcp.example}/mcp?key=${KEY}' },
    },
    env,
  );
  assert.deepEqual(command?.shared?.server, {
    command: 'node',
    args: ['/home/ada/server.js', '', '/home/ada', '$HOME', 'x'],
    variables: { API_KEY: 's3cret', PLAIN: 'a' },
    discover: false,
    cwd: '/home/ada',
  });
  const server = url?.shared?.server;
  assert.equal(server && 'url' in server && server.url.href, 'https://mcp.example/mcp?key=s3cret');
  assert.equal(command?.shared?.env['KEY'], undefined, "a URL's variables are not for other servers");
});

test('a variable that is not set is named, with its place', (t) => {
  const place = (server: object) => read(t, { a: server }, {})[0]?.problem?.message;
  assert.match(place({ command: 'node', args: ['${NOPE}'] }) ?? '', /^args: the variable NOPE is not set/);
  assert.match(place({ command: 'node', env: { A: '${NOPE}' } }) ?? '', /^env\.A: the variable NOPE is not set/);
  assert.match(place({ url: 'http://${NOPE}/mcp' }) ?? '', /^url: the variable NOPE is not set/);
});

const text = (encoding: string, content: string): Uint8Array => {
  if (encoding === 'UTF-8') return Buffer.from(`\ufeff${content}\r\n`);
  const bytes = Buffer.from(`\ufeff${content}\r\n`, 'utf16le');
  return encoding === 'UTF-16BE' ? bytes.swap16() : bytes;
};
for (const encoding of ['UTF-8', 'UTF-16LE', 'UTF-16BE']) {
  test(`files in ${encoding} with a byte-order mark are read`, async (t) => {
    const token = await createRoomToken({ key, room: 'desk', role: 'client', subject: 'ü', ttl: 60 });
    const tokenFile = fileOf(t, text(encoding, token));
    const { room, subject } = await readConnection({ relay: 'wss://relay.example', tokenFile }, {}, 'client');
    assert.deepEqual([room, subject], ['desk', 'ü']);
    const config = fileOf(t, text(encoding, JSON.stringify({ mcpServers: { größe: { command: 'node' } } })));
    const flags = { relay: 'wss://relay.example', config, maxSessions: '64' };
    assert.equal(
      readConfig(
        [],
        flags,
        signing,
        createLog('silent', () => {}),
      )[0]?.name,
      'größe',
    );
  });
}
