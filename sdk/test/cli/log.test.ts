import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import test from 'node:test';
import { createSecret } from 'mcp-rendezvous-protocol';
import { boundedWriter, createLog, detail } from '../../src/cli/log.ts';

const jwt = 'eyJhbGciOiJIUzI1NiJ9.eyJyb29tIjoiZGVzayJ9.c2lnbmF0dXJl';
const secret = createSecret();

function lines(level: 'silent' | 'normal' | 'debug') {
  const written: string[] = [];
  const log = createLog(level, (text) => written.push(text));
  log.error('an error');
  log.info('a state');
  log.debug('a detail');
  log.block('{}');
  log.output('server 1', 'its line');
  return written;
}

test('the levels', () => {
  const error = 'mcp-rendezvous: an error\n';
  const normal = ['mcp-rendezvous: a state\n', '\n{}\n\n', '[server 1] its line\n'];
  assert.deepEqual(lines('silent'), [error]);
  assert.deepEqual(lines('normal'), [error, ...normal]);
  assert.deepEqual(lines('debug'), [error, normal[0], 'mcp-rendezvous: a detail\n', ...normal.slice(1)]);
});

test('no line carries a token, or forges another line', () => {
  const written: string[] = [];
  const log = createLog('debug', (text) => written.push(text));
  log.error(`bad ${jwt}`);
  log.output('server 1', `token=${jwt};`);
  log.output('server 1', `secret=${secret};`);
  log.info('client eve\nmcp-rendezvous: all is well\u001b[2J connected');
  log.info('client \u202eeve\u2066 and \u2028 connected');
  assert.deepEqual(written, [
    'mcp-rendezvous: bad <token>\n',
    '[server 1] token=<token>;\n',
    '[server 1] secret=<secret>;\n',
    'mcp-rendezvous: client eve mcp-rendezvous: all is well [2J connected\n',
    'mcp-rendezvous: client  eve  and   connected\n',
  ]);
});

test("on a terminal a server's output is text and nothing else; in a pipe it is as it was written", () => {
  const line = '\u001b[31mred\u001b[0m\tand \u001b]0;title\u0007 \u001b[2J\u009b1A\rmcp-rendezvous: forged \u202etxt';
  const shown = (reader: 'terminal' | 'pipe') => {
    const written: string[] = [];
    createLog('normal', (text) => written.push(text), reader).output('server 1', line);
    return written.join('');
  };
  assert.equal(shown('pipe'), `[server 1] ${line}\n`);
  assert.match(shown('terminal'), /^\[server 1\] red and +mcp-rendezvous: forged +txt\n$/);
});

test('--json: one object per line, with the event, and no token in it', () => {
  const written: string[] = [];
  const log = createLog('normal', (text) => written.push(text), 'json');
  log.error('bad', { event: 'failed', code: 'ice_failed' });
  log.info(`client eve\n${jwt}\u009b2J`, { event: 'client_connected', client: 'eve\n' });
  log.info('a state');
  log.debug('a detail');
  log.block('two\nlines');
  log.output('server 1', `secret=${secret};`);
  const entries = written.map((line) => {
    assert.match(line, /^\{[^\n]*\}\n$/);
    const { time, ...rest } = JSON.parse(line) as { time: string };
    assert.match(time, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    return rest;
  });
  assert.deepEqual(entries, [
    { level: 'error', event: 'failed', code: 'ice_failed', message: 'bad' },
    { level: 'info', event: 'client_connected', client: 'eve\n', message: 'client eve\n<token> 2J' },
    { level: 'info', event: 'message', message: 'a state' },
    { level: 'info', event: 'instructions', message: 'two\nlines' },
    { level: 'info', event: 'server_output', server: 'server 1', message: 'secret=<secret>;' },
  ]);
  const asked = `mcpr1${'x'.repeat(40)}`;
  log.info(asked);
  log.reveal(`On the other machine:\n${asked}`);
  assert.ok(!written.at(-2)?.includes(asked));
  assert.equal((JSON.parse(written.at(-1) ?? '') as { invitation: string }).invitation, asked);
  const quiet: string[] = [];
  const silent = createLog('silent', (text) => quiet.push(text), 'json');
  silent.info('a state');
  silent.block('a block');
  silent.output('server 1', 'a line');
  silent.error('an error');
  assert.equal(quiet.length, 1);
  assert.ok(quiet[0]?.includes('"event":"failed"'));
});

test("an error's detail is its code and the kind of its cause, not its text", () => {
  const cause = Object.assign(new TypeError('v=0 secret sdp'), { code: 'ECONNREFUSED' });
  assert.equal(
    detail(Object.assign(new Error('x', { cause }), { code: 'ice_failed' })),
    ' (ice_failed, TypeError, ECONNREFUSED)',
  );
});

test('lines that nobody reads are dropped and counted', async () => {
  const stream = new PassThrough();
  const write = boundedWriter(stream);
  for (let i = 0; i < 30; i++) write(`${'x'.repeat(100_000)}\n`);
  assert.ok(stream.writableLength < 1_200_000);
  stream.resume();
  await once(stream, 'drain');
  let text = '';
  stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
  write('after\n');
  await new Promise((resolve) => stream.end(resolve));
  assert.match(text, /^mcp-rendezvous: \d+ log lines were dropped because stderr was not read\nafter\n$/m);
});
