import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { proxyFor } from 'mcp-rendezvous-protocol/proxy';

const found = (url: string, env: Record<string, string>) => proxyFor(new URL(url), env)?.url.href;
const secure = { HTTPS_PROXY: 'http://secure.example:3128' };

void suite('the proxy for a URL', () => {
  test('is named by the variable for its scheme, by ALL_PROXY, or by nothing', () => {
    const all = { ...secure, HTTP_PROXY: 'http://plain.example:8080', ALL_PROXY: 'http://all.example' };
    for (const scheme of ['wss', 'https'])
      assert.equal(found(`${scheme}://r.example`, all), 'http://secure.example:3128/');
    for (const scheme of ['ws', 'http'])
      assert.equal(found(`${scheme}://r.example`, all), 'http://plain.example:8080/');
    assert.equal(found('wss://r.example', { ALL_PROXY: 'http://all.example' }), 'http://all.example/');
    assert.equal(found('ws://r.example', secure), undefined);
    assert.equal(found('wss://r.example', {}), undefined);
    assert.equal(found('wss://r.example', { HTTPS_PROXY: ' ' }), undefined);
  });

  test('is read in lower case first, and without a scheme it is an HTTP proxy', () => {
    const both = { ...secure, https_proxy: 'lower.example:3128' };
    assert.equal(found('wss://r.example', both), 'http://lower.example:3128/');
    assert.equal(found('wss://r.example', { ...both, https_proxy: '' }), 'http://secure.example:3128/');
    assert.equal(found('wss://r.example', { all_proxy: 'https://tls.example' }), 'https://tls.example/');
    assert.equal(
      found('wss://r.example', { https_proxy: 'user:p%40ss@p.example:1' }),
      'http://user:p%40ss@p.example:1/',
    );
  });

  test('loopback has none, whatever it is called', () => {
    const env = { ALL_PROXY: 'http://all.example', HTTP_PROXY: 'http://all.example' };
    for (const host of [
      'localhost',
      'LOCALHOST',
      'localhost.',
      'relay.localhost',
      '127.0.0.1',
      '127.1.2.3',
      '0x7f.1',
      '[::1]',
    ]) {
      assert.equal(found(`ws://${host}:8787`, env), undefined, host);
    }
    for (const host of ['localhost.example', '128.0.0.1', '[::2]']) assert.ok(found(`ws://${host}`, env), host);
    assert.equal(found('ws://[::ffff:127.0.0.1]', env), undefined);
  });

  for (const [list, exempt, proxied] of [
    ['*', ['wss://r.example', 'wss://10.0.0.1'], []],
    [
      'r.example',
      ['wss://r.example', 'wss://R.EXAMPLE.', 'wss://a.r.example', 'wss://r.example:99'],
      ['wss://ar.example'],
    ],
    ['.r.example', ['wss://r.example', 'wss://a.r.example'], ['wss://ar.example']],
    ['*.r.example', ['wss://a.r.example'], ['wss://ar.example']],
    ['r.example:443', ['wss://r.example', 'wss://a.r.example'], ['wss://r.example:8443']],
    ['a.example, r.example b.example', ['wss://a.example', 'wss://r.example', 'wss://b.example'], ['wss://c.example']],
    ['10.0.0.1', ['wss://10.0.0.1', 'wss://10.0.0.1:99'], ['wss://10.0.0.2', 'wss://10.0.0.1.example']],
    ['10.0.0.1:443', ['wss://10.0.0.1'], ['wss://10.0.0.1:99']],
    ['10.0.0.0/8', ['wss://10.9.9.9'], ['wss://11.0.0.1', 'wss://[2001:db8::1]', 'wss://10.example']],
    ['2001:db8::/32', ['wss://[2001:db8::1]'], ['wss://[2001:db9::1]', 'wss://10.0.0.1']],
    ['[2001:db8::1]:443', ['wss://[2001:db8::1]'], ['wss://[2001:db8::1]:99']],
    ['2001:db8:0::1', ['wss://[2001:db8::1]'], ['wss://[2001:db8::2]']],
    ['10.0.0.0/99,,:,/,[,]', [], ['wss://10.0.0.1', 'wss://r.example']],
  ] as const) {
    test(`NO_PROXY=${list}`, () => {
      for (const url of exempt) {
        assert.equal(found(url, { ...secure, NO_PROXY: list }), undefined, url);
        assert.equal(found(url, { ...secure, no_proxy: list, NO_PROXY: 'other.example' }), undefined, url);
      }
      for (const url of proxied) assert.ok(found(url, { ...secure, NO_PROXY: list }), url);
    });
  }

  test('what is no HTTP proxy is refused with the variable, and never with its value', () => {
    for (const value of [
      'socks5://user:hunter2@p.example',
      'socks5h://hunter2',
      'http://',
      'http://hunter2:x:y',
      'ftp://hunter2',
    ]) {
      assert.throws(
        () => proxyFor(new URL('wss://r.example'), { ALL_PROXY: value }),
        (error: Error & { code: string }) =>
          error.code === 'bad_option' &&
          error.message.startsWith('ALL_PROXY names') &&
          !error.message.includes('hunter2'),
      );
    }
    assert.throws(() => proxyFor(new URL('wss://r.example'), { ALL_PROXY: 'socks5://p.example' }), /SOCKS/);
    // Who is not led through it does not hear of it.
    assert.equal(proxyFor(new URL('wss://r.example'), { ALL_PROXY: 'socks5://p.example', NO_PROXY: '*' }), undefined);
  });

  test('its name has no credentials', () => {
    const proxy = proxyFor(new URL('wss://r.example'), { HTTPS_PROXY: 'http://user:hunter2@p.example:3128' });
    assert.equal(proxy?.name, 'http://p.example:3128 (HTTPS_PROXY)');
  });
});
