import assert from 'node:assert/strict';
import test from 'node:test';
import { readEndpoint } from '../../../src/cli/http/endpoint-flags.ts';
import { readShared } from '../../../src/cli/http/http-flags.ts';

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
    [[{}], /No server to share/],
    [[{ url }, {}, ['node']], /cannot be combined with a command/],
    [[{ url, discover: true }], /cannot be combined with a command or --discover/],
    [[{ header: ['a: b'] }, {}, ['node']], /--header needs --url/],
    [[{ url: 'localhost:3000' }], /such as http/],
    [[{ url: 'http://user:secret@localhost/' }], /must not contain a user or password/],
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

const token = 'a-token-of-a-test-1/2+3~==';
const reads = (flags: Parameters<typeof readEndpoint>[0], env: Record<string, string> = {}) => readEndpoint(flags, env);

test('addresses to listen on', () => {
  assert.equal(reads({}), undefined);
  const access = { loopback: true, hosts: [], origins: [], token: undefined };
  assert.deepEqual(reads({ http: '0' }), { host: '127.0.0.1', port: 0, access });
  assert.deepEqual(reads({ http: 'localhost:3333' }), { host: 'localhost', port: 3333, access });
  assert.deepEqual(reads({ http: '[::1]:3333' }), { host: '::1', port: 3333, access });
  const open = { loopback: false, hosts: ['desk.example'], origins: [], token };
  const env = { MCP_RENDEZVOUS_HTTP_TOKEN: ` ${token}\n` };
  assert.deepEqual(reads({ http: '0.0.0.0:80', allowHost: ['Desk.Example'] }, env), {
    host: '0.0.0.0',
    port: 80,
    access: open,
  });
  for (const http of ['x', '127.0.0.1', '127.0.0.1:65536', '127.0.0.1:-1', ':80']) {
    assert.throws(() => reads({ http }), { code: 'bad_option' }, http);
  }
});

test('an address that others reach needs a token and a name', () => {
  const env = { MCP_RENDEZVOUS_HTTP_TOKEN: token };
  for (const http of ['0.0.0.0:80', '[::]:80', 'desk.example:80', '192.168.1.7:80', ':80']) {
    const message = /bearer token \(MCP_RENDEZVOUS_HTTP_TOKEN or --http-token-file\).*--allow-host/;
    for (const [flags, variables] of [
      [{}, {}],
      [{ allowHost: ['desk.example'] }, {}],
      [{}, env],
    ] as const) {
      assert.throws(() => reads({ http, ...flags, allowHost: [...(flags.allowHost ?? [])] }, variables), {
        code: 'bad_option',
        ...(http.startsWith(':') ? {} : { message }),
      });
    }
  }
});

test('a token that could be guessed, or that no header carries, is refused and not repeated', () => {
  for (const value of ['', '  ', 's3cret', 's3cret with spaces in', 's3cret-ünïcödé-abcdef', '=s3cret'.repeat(9)]) {
    assert.throws(
      () => reads({ http: '0' }, { MCP_RENDEZVOUS_HTTP_TOKEN: value }),
      (error: Error & { code: string }) => error.code === 'bad_option' && !error.message.includes('s3cret'),
      value,
    );
  }
});

test('origins are whole ones', () => {
  const origins = (...allowOrigin: string[]) => reads({ http: '0', allowOrigin })?.access.origins;
  assert.deepEqual(
    origins('http://LocalHost:6274', 'https://app.example:443/', 'http://[::1]:80', 'Chrome-Extension://abcdef'),
    ['http://localhost:6274', 'https://app.example', 'http://[::1]', 'chrome-extension://abcdef'],
  );
  for (const text of [
    '*',
    'null',
    '',
    'localhost',
    'localhost:6274',
    '//localhost',
    'http://',
    'http://*.example:x',
    'file:///',
    'http://a.example/path',
    'http://a.example?',
    'http://a.example/#',
    'http://me@a.example',
    'data:x',
    'x://a/b',
  ]) {
    assert.throws(() => origins(text), { code: 'bad_option', message: /must be a complete origin/ }, text);
  }
});

test('what is for --http only', () => {
  for (const flags of [{ allowHost: ['a'] }, { allowOrigin: ['http://a'] }, { httpTokenFile: 'f' }]) {
    assert.throws(() => reads(flags), { code: 'bad_option', message: /need --http\.$/ });
  }
});
