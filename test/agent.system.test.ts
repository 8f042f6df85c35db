import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { freePort } from './support/port.ts';
import { namedBlocks, Terminal } from './support/terminal.ts';

/** The members of what AGENT.md shows, at any depth; a list has those of its first element. */
function form(value: unknown): unknown {
  if (Array.isArray(value)) return value.length > 0 ? [form(value[0])] : [];
  if (typeof value !== 'object' || value === null) return typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, form(member)]));
}

const lines = (text: string): Record<string, unknown>[] =>
  text
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);

test('the commands of AGENT.md work in their order, and print what it shows', { timeout: 180_000 }, async (t) => {
  const port = await freePort();
  const text = await readFile(join(import.meta.dirname, '../AGENT.md'), 'utf8');
  const blocks = namedBlocks(text, { '8787': String(port) });
  const command = (name: string): string => blocks.get(`sh ${name}`) ?? assert.fail(`no block "sh ${name}"`);
  const shows = (name: string, printed: unknown): void =>
    assert.deepEqual(form(printed), form(JSON.parse(blocks.get(`json ${name}`)!)), name);

  const terminal = new Terminal(t);
  assert.match(await terminal.run(command('version')), /^\d+\.\d+\.\d+\n$/);

  const relay = terminal.start(`export RELAY_PORT=${port}\n${command('relay')}`);
  await relay.says(/listening at[^\n]*\n/);
  shows(
    'relay',
    lines(relay.output).find(({ msg }) => String(msg).startsWith('listening')),
  );

  const expose = terminal.start(command('expose'));
  await expose.says(/"event":"invitation"[^\n]*\n/);
  const invitation = lines(expose.output).find(({ event }) => event === 'invitation')!;
  shows('expose', invitation);
  await writeFile(join(terminal.folder, 'client.invitation'), String(invitation['invitation']), { mode: 0o600 });

  const doctor = JSON.parse(await terminal.run(command('doctor'))) as { ok: boolean };
  assert.equal(doctor.ok, true);
  shows('doctor', doctor);

  const { mcpServers } = JSON.parse(await terminal.run(command('install'))) as { mcpServers: object };
  shows('install', { mcpServers });

  const request = {
    jsonrpc: '2.0',
    id: 1,
    method: 'initialize',
    params: { protocolVersion: '2025-11-25', capabilities: {} },
  };
  const initialize = { ...request, params: { ...request.params, clientInfo: { name: 'agent', version: '1.0.0' } } };
  await writeFile(join(terminal.folder, 'requests'), `${JSON.stringify(initialize)}\n`);
  const connect = terminal.start(`(cat requests; sleep 170) | ${command('connect')}`);
  await connect.says(/"serverInfo"/);
  // It comes through another pipe.
  await connect.says(/"event":"connected"[^\n]*\n/);
  shows(
    'connect',
    lines(connect.output).find(({ event }) => event === 'connected'),
  );

  shows('invitations', JSON.parse(await terminal.run(command('invitations'))));
});
