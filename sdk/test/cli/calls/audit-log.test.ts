import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mock, test, type TestContext } from 'node:test';
import { AuditLog, type AuditedCall } from '../../../src/cli/calls/audit-log.ts';
import { createLog } from '../../../src/cli/log.ts';
import { until } from '../support/process.ts';

const call = (tool: string): AuditedCall => ({
  time: '2026-11-30T00:00:00.000Z',
  room: 'desk',
  subject: 'ada',
  jti: null,
  peer: 'p',
  tool,
  id: 1,
  outcome: 'ok',
  durationMs: 1,
});

function setUp(t: TestContext) {
  const directory = mkdtempSync(join(tmpdir(), 'audit-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'audit.jsonl');
  const said: string[] = [];
  const log = createLog('normal', (text) => said.push(text));
  const lines = (file = path) => {
    const text = readFileSync(file, 'utf8');
    assert.ok(text === '' || text.endsWith('\n'));
    return text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as AuditedCall & { lost?: number });
  };
  return { directory, path, said, log, lines };
}

test('lines are appended to a file that only its owner can read', async (t) => {
  const { path, log, lines } = setUp(t);
  const first = new AuditLog(path, log);
  if (process.platform !== 'win32') assert.equal(statSync(path).mode & 0o777, 0o600);
  first.write(call('a'));
  first.write(call('b'));
  await first.close();
  const second = new AuditLog(path, log);
  second.write(call('c'));
  await second.close();
  assert.deepEqual(
    lines().map(({ tool }) => tool),
    ['a', 'b', 'c'],
  );
});

test('whatever a client calls its tool, it is one line for every reader', async (t) => {
  const { path, log, lines } = setUp(t);
  const audit = new AuditLog(path, log);
  const tool = 'a\n{"tool":"b"}\r\u0085\u2028\u2029\u202e\u0000é😀\ud800';
  audit.write(call(tool));
  await audit.close();
  assert.match(readFileSync(path, 'latin1'), /^[\x20-\x7e]+\n$/);
  assert.deepEqual(lines(), [call(tool)]);
});

test('a file that is moved away is begun anew', async (t) => {
  const { directory, path, log, lines } = setUp(t);
  const audit = new AuditLog(path, log);
  audit.write(call('a'));
  await until('the first line', () => readFileSync(path, 'utf8') !== '');
  const moved = join(directory, 'audit.1');
  renameSync(path, moved);
  audit.write(call('b'));
  await audit.close();
  assert.deepEqual([lines(moved)[0]?.tool, lines()[0]?.tool], ['a', 'b']);
});

test('a file that cannot be written is said at the start', (t) => {
  const { directory, log } = setUp(t);
  assert.throws(() => new AuditLog(directory, log), { code: 'bad_option', message: /Cannot write the --audit file/ });
  assert.throws(() => new AuditLog(join(directory, 'missing', 'file'), log), { code: 'bad_option' });
});

test('a file that cannot be written any more is said once; lines wait for it, and lost ones are counted in it', async (t) => {
  const { path, said, log, lines } = setUp(t);
  mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => mock.timers.reset());
  const audit = new AuditLog(path, log);
  rmSync(path);
  mkdirSync(path);
  audit.write(call('first'));
  await until('the failure to be said', () => said.length > 0);
  assert.match(said[0] ?? '', /cannot write the audit file .* \(E\w+\): calls go on/);
  const many = 'x'.repeat(250);
  for (let i = 0; i < 4_000; i++) audit.write(call(many));
  mock.timers.tick(1_000);
  rmdirSync(path);
  appendFileSync(path, '');
  await until('the lines', () => {
    mock.timers.tick(1_000);
    return said.length > 1;
  });
  assert.match(said[1] ?? '', /the audit file is written again/);
  audit.write(call('last'));
  await audit.close();
  assert.equal(said.length, 2);
  const written = lines();
  const lost = written.findIndex((line) => line.lost !== undefined);
  assert.deepEqual([written[0]?.tool, written[1]?.tool, written.at(-1)?.tool], ['first', many, 'last']);
  assert.equal(lost, written.length - 2);
  assert.equal(written.length - 3 + (written[lost]?.lost ?? 0), 4_000);
});

test('however many calls come at once, each has its line where the file can be written', async (t) => {
  const { path, log, lines } = setUp(t);
  const audit = new AuditLog(path, log);
  const many = '\u007f'.repeat(256);
  for (let i = 0; i < 5_000; i++) audit.write(call(many));
  await until('the lines', () => readFileSync(path).length > 5_000 * 256 * 6);
  await audit.close();
  assert.equal(lines().length, 5_000);
});

test('lines that cannot be written in the end are said to be lost', async (t) => {
  const { path, said, log } = setUp(t);
  const audit = new AuditLog(path, log);
  rmSync(path);
  mkdirSync(path);
  audit.write(call('a'));
  await audit.close();
  assert.match(said.at(-1) ?? '', /could not be written, and are lost/);
});
