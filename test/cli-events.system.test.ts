import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { type Cli, fixture, root } from '../sdk/test/cli/support/process.ts';
import { RelayProcess } from './support/relay.ts';
import { Room } from './support/room.ts';

type Event = Record<string, string>;

/** What stderr says with --json: one object per line, and nothing else. */
const events = (cli: Cli): Event[] =>
  cli.stderr
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Event);

const named = (cli: Cli, name: string): Event | undefined => events(cli).find(({ event }) => event === name);

/** The rows of a table of the document that has this header. */
function documented(): Map<string, { commands: string; members: string[] }> {
  const text = readFileSync(join(root, 'docs/guides/command-line.md'), 'utf8');
  const [, rows = ''] = /^\| event \|.*\n\|[-| ]+\n((?:\|.*\n)+)/m.exec(text) ?? [];
  return new Map(
    rows
      .trim()
      .split('\n')
      .flatMap((row) => {
        const [, names = '', commands = '', members = ''] = row.split('|');
        const code = (cell: string) => Array.from(cell.matchAll(/`(\w+)`/g), ([, name]) => name!);
        return code(names).map((name) => [name, { commands, members: code(members) }] as const);
      }),
  );
}

void suite('--json', { concurrency: 2 }, () => {
  let relay: RelayProcess;
  before(async () => {
    relay = await RelayProcess.start();
  });
  after(() => relay.stop());

  test('expose and connect print events as the document lists them', async (t) => {
    const room = new Room(relay);
    const expose = await room.expose(t, fixture(), '--json');
    await expose.says('"sharing"');
    const client = await room.connect(t, 'ann', '--json');
    await client.request('seen');
    client.process.stdin.end();
    assert.equal(await client.exit(), 0);
    await expose.says('"client_ended"');
    expose.process.kill('SIGTERM');
    await expose.exit();
    const { room: name, relay: address } = named(client, 'connecting')!;
    assert.deepEqual([name, address], [room.name, relay.ws]);
    assert.equal(named(client, 'connected')?.['server'], 'server');
    assert.ok(named(client, 'closed'));
    assert.equal(named(expose, 'sharing')?.['room'], room.name);
    assert.equal(named(expose, 'client_connected')?.['client'], 'ann');
    assert.equal(named(expose, 'client_ended')?.['client'], 'ann');
    const known = documented();
    for (const { event = '', time, level, message, ...members } of [...events(expose), ...events(client)]) {
      assert.ok(time && level && message, event);
      assert.deepEqual(
        Object.keys(members).filter((member) => !known.get(event)?.members.includes(member)),
        [],
        event,
      );
    }
  });

  test('an error is an event with its code, also one in the options', async (t) => {
    const wrong = await new Room(relay, { key: 'another secret, as long as the first' }).connect(t, 'ann', '--json');
    await wrong.request('initialize');
    assert.equal(await wrong.exit(), 1);
    assert.equal(named(wrong, 'failed')?.['code'], 'token_invalid');
    const unknown = await new Room(relay).connect(t, 'ann', '--json', '--unknown');
    unknown.process.stdin.end();
    assert.equal(await unknown.exit(), 2);
    assert.equal(named(unknown, 'failed')?.['code'], 'bad_option');
  });

  test('the document has every event of the sources, and no other', () => {
    const sources = globSync('sdk/src/cli/**/*.ts', { cwd: root }).map((file) =>
      readFileSync(join(root, file), 'utf8'),
    );
    const used = sources.flatMap((text) => Array.from(text.matchAll(/\bevent: '(\w+)'(?! \|)/g), ([, name]) => name!));
    assert.deepEqual([...documented().keys()].toSorted(), [...new Set(used)].toSorted());
  });
});
