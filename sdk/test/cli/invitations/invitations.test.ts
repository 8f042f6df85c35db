import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, utimesSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { Worker } from 'node:worker_threads';
import { createRoomToken, createSecret, deriveSecret } from 'mcp-rendezvous-protocol/token';
import { tellExpiries } from '../../../src/cli/expiry-notice.ts';
import { looksLikeInvitation } from '../../../src/cli/invitation-form.ts';
import { roomsFolder, thisAccount } from '../../../src/cli/invitations/account.ts';
import { keyedRoom } from '../../../src/cli/invitations/exposed-room.ts';
import { shellArgument } from '../../../src/cli/invitations/invite-command.ts';
import { sourceOf } from '../../../src/cli/invitations/make-invitation.ts';
import { endsSoon, nameOfServer, pasteLines } from '../../../src/cli/invitations/print-invitation.ts';
import { ownRoom, RoomStore } from '../../../src/cli/invitations/room-store.ts';
import { createLog } from '../../../src/cli/log.ts';

const day = 86_400;

function folderOf(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'rooms-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

void suite('what this account keeps of rooms', () => {
  const place = { relay: 'wss://relay.example', issuer: '', room: 'desk' };
  const made = { ...place, id: 'a', role: 'client', expiresAt: 1, source: 's' } as const;

  test('is where each platform has settings', () => {
    const at = (platform: NodeJS.Platform, env: Record<string, string>, home: string) =>
      roomsFolder({ platform, env, home, exists: () => false });
    assert.equal(at('linux', {}, '/home/ada'), '/home/ada/.config/mcp-rendezvous/rooms');
    assert.equal(at('linux', { XDG_CONFIG_HOME: '/x' }, '/home/ada'), '/x/mcp-rendezvous/rooms');
    const mac = '/Users/ada/Library/Application Support/mcp-rendezvous/rooms';
    assert.equal(at('darwin', { XDG_CONFIG_HOME: '/x' }, '/Users/ada'), mac);
    const roaming = 'C:\\Users\\ada\\AppData\\Roaming';
    assert.equal(at('win32', { APPDATA: roaming }, 'C:\\Users\\ada'), `${roaming}\\mcp-rendezvous\\rooms`);
    assert.equal(at('win32', {}, 'C:\\Users\\ada'), `${roaming}\\mcp-rendezvous\\rooms`);
  });

  test('the root of a room is its own, and stays until it is replaced', (t) => {
    const folder = folderOf(t);
    const store = new RoomStore(folder, place);
    const { root } = store;
    assert.equal(new RoomStore(folder, place).root, root);
    for (const change of [{ room: 'other' }, { issuer: 'x' }, { relay: 'wss://other.example' }]) {
      assert.notEqual(new RoomStore(folder, { ...place, ...change }).root, root);
    }
    store.remember(made);
    store.remember({ ...made, id: 'b', role: 'server' });
    store.replaceRoot();
    assert.notEqual(store.root, root);
    assert.deepEqual(
      store.invitations.map(({ id, revoked = false }) => [id, revoked]),
      [
        ['a', true],
        ['b', false],
      ],
    );
  });

  test('a client that was invited with the new root is let in without a restart', async (t) => {
    const env = {
      XDG_CONFIG_HOME: folderOf(t),
      RELAY_SECRET: 'a secret of thirty-two characters',
      APPDATA: folderOf(t),
    };
    const log = createLog('silent', () => {});
    const { connection } = keyedRoom({ flags: { relay: place.relay, maxSessions: '64' }, env, log, name: 'x' }, 'desk');
    assert.ok(typeof connection.secret === 'function');
    const peer = { id: 'p', subject: 's', claims: { jti: 'a' } } as Parameters<typeof connection.secret>[0];
    const store = new RoomStore(roomsFolder(thisAccount(env)), { ...place, relay: connection.relay });
    for (let n = 0; n < 2; n++) {
      assert.equal(await connection.secret(peer), await deriveSecret(store.root, 'a'));
      store.replaceRoot();
    }
  });

  test('an invitation is found again, whatever its id is, and so is its revocation', (t) => {
    const folder = folderOf(t);
    const store = new RoomStore(folder, place);
    for (const id of ['x.y_z-1', '../../etc/passwd', '', 'ü'.repeat(200), 'a/b']) {
      store.remember({ ...made, id });
      assert.equal(store.isRevoked(id), false);
      store.revoke(id);
      assert.equal(store.isRevoked(id), true);
      assert.ok(store.revoked.includes(id));
    }
    assert.equal(RoomStore.all(folder).flatMap((one) => one.invitations).length, 5);
  });

  test('a wish is taken once, and answered', (t) => {
    const store = new RoomStore(folderOf(t), place);
    const { answer, drop } = store.wish({ name: 'Ada', ttl: 60 });
    const [taken, ...others] = store.takeWishes();
    assert.deepEqual([taken?.wish, others, store.takeWishes()], [{ name: 'Ada', ttl: 60 }, [], []]);
    assert.equal(answer(), undefined);
    taken?.answer({ problem: 'no' });
    assert.deepEqual(answer(), { problem: 'no' });
    drop();
    assert.equal(answer(), undefined);
  });

  test('a wish of somebody who has gone is not fulfilled, and no answer with an invitation stays', (t) => {
    const folder = folderOf(t);
    const store = new RoomStore(folder, place);
    const [room = ''] = (store.wish({ name: 'Ada' }), readdirSync(folder));
    const [, taken] = (store.wish({ name: 'Bob' }), store.takeWishes());
    taken?.answer({ invitation: 'mcpr1abc', id: 'a', expiresAt: 1 });
    store.wish({ name: 'Eve' });
    const files = readdirSync(join(folder, room)).map((name) => join(folder, room, name));
    const kinds = files.map((file) => /(wish|answer)-/.exec(file)?.[1]);
    assert.deepEqual(new Set(kinds), new Set(['answer', 'wish']));
    for (const file of files) utimesSync(file, 0, Date.now() / 1000 - 60);
    assert.deepEqual(store.takeWishes(), []);
    assert.deepEqual(readdirSync(join(folder, room)), []);
  });

  test('programs that start at once make one root and one room', async (t) => {
    const folder = folderOf(t);
    const store = new URL('../../../src/cli/invitations/room-store.ts', import.meta.url).href;
    const [programs, folders] = [4, 60];
    const code = `
      const { parentPort, workerData: { folder, folders, programs, shared } } = require('node:worker_threads');
      const started = new Int32Array(shared);
      import(${JSON.stringify(store)}).then(({ ownRoom }) => {
        const rooms = [];
        for (let n = 0; n < folders; n++) {
          Atomics.add(started, n, 1);
          Atomics.notify(started, n);
          for (let so; (so = Atomics.load(started, n)) < programs; ) Atomics.wait(started, n, so);
          try { rooms.push(ownRoom(folder + '/' + n, 'machine')); } catch (error) { rooms.push(error.message); }
        }
        parentPort.postMessage(rooms);
      });`;
    const shared = new SharedArrayBuffer(4 * folders);
    const found = await Promise.all(
      Array.from({ length: programs }, async () => {
        const worker = new Worker(code, { eval: true, workerData: { folder, folders, programs, shared } });
        const [rooms] = (await once(worker, 'message')) as [string[]];
        return rooms;
      }),
    );
    for (const rooms of found) assert.deepEqual(rooms, found[0]);
    assert.ok(
      found[0]?.every((room) => room.startsWith('machine-')),
      String(found[0]),
    );
    assert.deepEqual(readdirSync(join(folder, '0')), ['own-room.json']);
  });

  test("this machine's room is the same each time, and another account's is another one", (t) => {
    const [one, other] = [folderOf(t), folderOf(t)];
    const room = ownRoom(one, 'laptop.local');
    assert.match(room, /^laptop-[\da-f]{8}$/);
    assert.equal(ownRoom(one, 'renamed'), room);
    assert.notEqual(ownRoom(other, 'laptop.local'), room);
    writeFileSync(join(one, 'own-room.json'), '{');
    assert.throws(() => ownRoom(one, 'laptop'), { code: 'bad_option', message: /is damaged/ });
  });
});

void suite('what people read of invitations', () => {
  test('the name is what is shared, and not what runs it', () => {
    const names: [command: string[] | undefined, url: string | undefined, name: string][] = [
      [['npx', '-y', '@modelcontextprotocol/server-filesystem', '/home'], undefined, 'server-filesystem'],
      [['npx', '-y', 'some-server@1.2.3'], undefined, 'some-server'],
      [['uvx', 'mcp-server-git', '--repository', '.'], undefined, 'mcp-server-git'],
      [['/usr/bin/node', '--import', './x.ts', 'server.ts'], undefined, 'x'],
      [['python3', '-m', 'my_server'], undefined, 'my_server'],
      [['C:\\tools\\server.exe'], undefined, 'server'],
      [['node', '/opt/server-git/dist/index.js'], undefined, 'server-git'],
      [['node', 'C:\\servers\\files\\src\\main.ts'], undefined, 'files'],
      [['node', './dist/index.js'], undefined, 'index'],
      [['docker', 'run', '-i', 'mcp/time'], undefined, 'time'],
      [undefined, 'http://localhost:3000/mcp', 'localhost:3000'],
      [['\u202e'], undefined, 'shared'],
      [[], undefined, 'shared'],
    ];
    for (const [command, url, name] of names) assert.equal(nameOfServer(command, url), name);
  });

  test('the lines to paste are whole, and safe in a shell', () => {
    const printed = { invitation: 'mcpr1abc', name: 'my files; rm -rf', expiresAt: 1_800_000_000 };
    const text = pasteLines(printed, 'wss://relay.example');
    assert.match(text, /^On the other machine, one/m);
    for (const host of ['localhost', '127.0.0.2', '[::1]:8787']) {
      assert.match(pasteLines(printed, `ws://${host}`), /^On this machine, /m);
    }
    assert.match(text, /until 2027-01-15\./);
    assert.match(text, /claude mcp add my-files-rm--rf -e MCP_RENDEZVOUS_INVITATION=mcpr1abc -- node \S+ connect$/);
  });

  test('the name of an invitation is one argument, whatever a relay made up', () => {
    const shown = (id: string) =>
      execFileSync('sh', ['-c', `printf '<%s>' ${shellArgument(id)}`], { encoding: 'utf8' });
    assert.equal(shellArgument('q83v_RWeJCrze8SNFZ4kA.hTq3b0'), 'q83v_RWeJCrze8SNFZ4kA.hTq3b0');
    for (const id of ['x; touch y', '$(touch y)', '`y`', "a'b'c", '"', '\\', '-rf', '!x', '*', 'ä ö', '~', '#']) {
      assert.equal(shown(id), `<--><${id}>`);
    }
  });

  test('two weeks before it ends it is said', () => {
    assert.equal(endsSoon(15 * day, 0), undefined);
    assert.match(endsSoon(14 * day, 0) ?? '', /in 14 days/);
    assert.match(endsSoon(day / 2, 0) ?? '', /in 1 day:/);
    assert.match(endsSoon(0, 1) ?? '', /ended on 1970-01-01/);
  });

  test('an argument is an invitation by its form', () => {
    for (const text of ['mcpr1abc', 'mcpr9', 'https://relay.example/#mcpr1abc']) assert.ok(looksLikeInvitation(text));
    for (const text of ['node', 'mcp', 'https://relay.example/', './mcpr']) assert.ok(!looksLikeInvitation(text));
  });

  test('a key is named without telling it', () => {
    assert.match(sourceOf('secret'), /^[\da-f]{16}$/);
    assert.notEqual(sourceOf('secret'), sourceOf('another'));
  });

  test('no line of the log has one in it, but what is revealed', () => {
    const lines: string[] = [];
    const log = createLog('debug', (text) => lines.push(text));
    const invitation = `mcpr1${'eyJ'.repeat(20)}`;
    for (const say of ['info', 'error', 'debug', 'block'] as const) log[say](`x ${invitation} y`);
    log.output('server 1', invitation);
    assert.ok(!lines.join('').includes(invitation), lines.join(''));
    assert.match(lines.join(''), /x <invitation> y/);
    log.reveal(invitation);
    assert.ok(lines.join('').includes(invitation));
  });
});

void suite('the end of a token', () => {
  const start = 1_800_000_000;
  const tokenOf = (ttl: number, issuedAt = start) =>
    createRoomToken({ key: createSecret(), room: 'desk', role: 'client', subject: 'a', ttl, issuedAt });

  /** What is said until all of the time has passed, and when, in seconds. */
  async function said(
    t: TestContext,
    token: string | (() => string),
    seconds: number,
    more: { renewed?: boolean } = {},
  ) {
    t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: start * 1000 });
    const lines: [at: number, line: string][] = [];
    const log = createLog('normal', (line) =>
      lines.push([Date.now() / 1000 - start, line.replace('mcp-rendezvous: ', '').trim()]),
    );
    const stop = new AbortController();
    tellExpiries({ token, ...more }, log, stop.signal);
    for (let at = 0; at <= seconds; at += 30) {
      // Each step of the loop that waits is a turn of its own.
      for (let turn = 0; turn < 10; turn++) await Promise.resolve();
      t.mock.timers.tick(30_000);
    }
    stop.abort();
    t.mock.timers.reset();
    return lines;
  }

  test('is said when it is known, and an hour, ten minutes and a minute before', async (t) => {
    const lines = await said(t, await tokenOf(7200), 7300);
    assert.deepEqual(
      lines.map(([at, line]) => [at, line.replace(/:.*/, '')]),
      [
        [0, 'the token ends at 2027-01-15T10'],
        [3600, 'the token ends in an hour'],
        [6600, 'the token ends in 10 minutes'],
        [7140, 'the token ends in a minute'],
        [7200, 'the token has ended'],
      ],
    );
  });

  test('is not spoken of again when there is another one in time, and nobody cares for that of a key', async (t) => {
    const [first, second] = [await tokenOf(4000), await tokenOf(100_000)];
    const lines = await said(t, () => (Date.now() < (start + 300) * 1000 ? first : second), 5000);
    assert.deepEqual(
      lines.map(([at]) => at),
      [0],
    );
    assert.deepEqual(await said(t, first, 5000, { renewed: true }), []);
  });
});
