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
  assert.deepEqual(written, [
    'mcp-rendezvous: bad <token>\n',
    '[server 1] token=<token>;\n',
    '[server 1] secret=<secret>;\n',
    'mcp-rendezvous: client eve mcp-rendezvous: all is well [2J connected\n',
  ]);
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
  assert.match(text, /^mcp-rendezvous: \d+ lines were dropped here, because nobody read them\nafter\n$/m);
});
