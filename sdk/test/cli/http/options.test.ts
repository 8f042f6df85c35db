import assert from 'node:assert/strict';
import test from 'node:test';
import { readAddress, readShared } from '../../../src/cli/http/options.ts';

const url = 'http://localhost:3000/mcp';
const shared = (flags: Parameters<typeof readShared>[1], env: Record<string, string> = {}, command: string[] = []) =>
  readShared(command, flags, env);

test('an endpoint and its headers, with variables in them', () => {
  const header = ['Authorization: Bearer ${KEY}', 'X-Two:${A}-${B}', 'x-empty:'];
  assert.deepEqual(shared({ url: `${url}?a=1#b`, header }, { KEY: 'k', A: '1', B: '2' }), {
    url: new URL(`${url}?a=1`),
    headers: { authorization: 'Bearer k', 'x-two': '1-2', 'x-empty': '' },
  });
});

test('what is wrong with an endpoint is said, without any secret', () => {
  const cases: [Parameters<typeof shared>, RegExp][] = [
    [[{}], /nothing to share/],
    [[{ url }, {}, ['node']], /instead of a command/],
    [[{ url, discover: true }], /instead of a command and of --discover/],
    [[{ header: ['a: b'] }, {}, ['node']], /--header is for --url/],
    [[{ url: 'localhost:3000' }], /such as http/],
    [[{ url: 'http://user:secret@localhost/' }], /no user and password/],
    [[{ url, header: ['a: ${NOT_SET} secret'] }], /NOT_SET is not set/],
    [[{ url, header: ['secret'] }], /'Name: value'/],
    [[{ url, header: ['a b: secret'] }], /'Name: value'/],
    [[{ url, header: ['a: ${LINES}'] }, { LINES: 'secret\r\nx: y' }], /'Name: value'/],
  ];
  for (const [args, message] of cases) {
    assert.throws(
      () => shared(...args),
      (error: Error & { code: string }) =>
        error.code === 'bad_option' && message.test(error.message) && !error.message.includes('secret'),
    );
  }
});

test('addresses to listen on', () => {
  const loopback = ['localhost', '127.0.0.1', '[::1]'];
  assert.deepEqual(readAddress('0', []), { host: '127.0.0.1', port: 0, allowedHosts: loopback });
  assert.deepEqual(readAddress('localhost:3333', []), { host: 'localhost', port: 3333, allowedHosts: loopback });
  assert.deepEqual(readAddress('[::1]:3333', []), { host: '::1', port: 3333, allowedHosts: loopback });
  const open = { host: '0.0.0.0', port: 80, allowedHosts: [...loopback, 'desk.example'] };
  assert.deepEqual(readAddress('0.0.0.0:80', ['Desk.Example']), open);
  for (const text of ['x', '127.0.0.1', '127.0.0.1:65536', '127.0.0.1:-1', '0.0.0.0:80', 'desk.example:80', ':80']) {
    assert.throws(() => readAddress(text, []), { code: 'bad_option' }, text);
  }
});
