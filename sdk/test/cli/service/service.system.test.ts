import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Health } from '../../../src/cli/service/health.ts';
import { notifyReady } from '../../../src/cli/service/systemd.ts';
import { fromSource, runs, until } from '../support/process.ts';

const orphan = fileURLToPath(new URL('./orphan.ts', import.meta.url));
const command = [process.execPath, ...fromSource, orphan].map((word) => `'${word}'`).join(' ');

/** A launcher, and the process that it has started: directly, or by way of a shell that stays. */
async function launch(t: TestContext, shell: boolean, env: Record<string, string>) {
  const start = shell
    ? `spawn('/bin/sh', ['-c', ${JSON.stringify(`${command}; :`)}], options)`
    : `spawn(process.execPath, ${JSON.stringify([...fromSource, orphan])}, options)`;
  const code = `
    const { spawn } = require('node:child_process');
    const options = { stdio: ['ignore', 'inherit', 'inherit'] };
    ${start};
    setInterval(() => {}, 60_000);`;
  const { PATH = '' } = process.env;
  const launcher = spawn(process.execPath, ['-e', code], {
    env: { PATH, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(launcher.stdout.setEncoding('utf8'), 'data')) as [string];
  const pid = Number(line);
  t.after(() => {
    launcher.kill('SIGKILL');
    if (runs(pid)) process.kill(pid, 'SIGKILL');
  });
  return { launcher, pid };
}

for (const shell of [false, true]) {
  test(`what npx started ${shell ? 'in a shell ' : ''}ends when npx is gone`, async (t) => {
    const { launcher, pid } = await launch(t, shell, { npm_command: 'exec' });
    assert.ok(runs(pid));
    launcher.kill('SIGKILL');
    await until('its end', () => !runs(pid));
  });
}

test('what was not started by npx stays', async (t) => {
  const { launcher, pid } = await launch(t, false, {});
  launcher.kill('SIGKILL');
  await once(launcher, 'exit');
  const other = await launch(t, false, { npm_command: 'exec' });
  other.launcher.kill('SIGKILL');
  // When the one that watches has noticed, the other one would have.
  await until('the end of another one', () => !runs(other.pid));
  assert.ok(runs(pid));
});

test('the health endpoint says whether clients can reach all rooms', async (t) => {
  const health = new Health();
  const url = await health.listen('127.0.0.1:0');
  t.after(() => health.close());
  const ask = async () => {
    const response = await fetch(url);
    return [response.status, await response.json()] as const;
  };
  assert.deepEqual(await ask(), [503, { status: 'unavailable', rooms: {} }]);
  health.set('a', true);
  health.set('b', false);
  assert.deepEqual(await ask(), [503, { status: 'unavailable', rooms: { a: true, b: false } }]);
  health.set('b', true);
  assert.deepEqual(await ask(), [200, { status: 'ok', rooms: { a: true, b: true } }]);
  assert.equal((await fetch(new URL('/', url))).status, 404);
  await assert.rejects(new Health().listen('nowhere'), { code: 'bad_option' });
  await assert.rejects(new Health().listen(new URL(url).host), { code: 'bad_option', message: /EADDRINUSE/ });
});

test('systemd is told by its own command, and only where it waits', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'service-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'systemd-notify');
  writeFileSync(file, '#!/bin/sh\necho "$NOTIFY_SOCKET $@" > "$0.said"\n');
  chmodSync(file, 0o755);
  const PATH = `${directory}:${process.env['PATH']}`;
  const said = () => {
    try {
      return readFileSync(`${file}.said`, 'utf8');
    } catch {
      return '';
    }
  };
  notifyReady({ PATH });
  notifyReady({ PATH, NOTIFY_SOCKET: '/run/notify' });
  await until('the call', () => said().endsWith('\n'));
  assert.equal(said(), `/run/notify --ready --pid=${process.pid}\n`);
});
