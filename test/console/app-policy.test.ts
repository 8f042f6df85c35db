import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { policyOf } from '../../console/src/apps/policy.ts';

const members = ['connectDomains', 'resourceDomains', 'frameDomains', 'baseUriDomains'] as const;

/** What the policy of an app says, by directive. */
const read = (text: string): Record<string, string[]> =>
  Object.fromEntries(
    text.split(';').map((directive) => {
      const [name = '', ...sources] = directive.trim().split(' ');
      return [name, sources];
    }),
  );

const nothing = read(policyOf(undefined, false).text);

/** Whatever the policy has beyond that of an app which declares nothing. */
const added = (text: string): string[] =>
  Object.entries(read(text)).flatMap(([name, sources]) => {
    assert.ok(name in nothing, `a directive ${name}`);
    return sources.filter((source) => !nothing[name]?.includes(source));
  });

void suite('the policy of an app', () => {
  test('one that declares nothing reaches nothing', () => {
    assert.deepEqual(nothing, {
      'default-src': ["'none'"],
      'script-src': ["'unsafe-inline'"],
      'style-src': ["'unsafe-inline'"],
      'img-src': ['data:', 'blob:'],
      'font-src': ['data:'],
      'media-src': ['data:', 'blob:'],
      'connect-src': ["'none'"],
      'frame-src': ["'none'"],
      'worker-src': ["'none'"],
      'object-src': ["'none'"],
      'base-uri': ["'none'"],
      'form-action': ["'none'"],
    });
  });

  test('what it declares is what it gets', () => {
    const { text, hosts, granted, ignored } = policyOf(
      {
        connectDomains: ['https://api.example.com', 'wss://live.example.com:8443'],
        resourceDomains: ['https://*.cdn.example', 'HTTPS://Files.example'],
      },
      false,
    );
    assert.deepEqual(ignored, []);
    assert.deepEqual(granted.connectDomains, ['https://api.example.com', 'wss://live.example.com:8443']);
    assert.deepEqual(granted.resourceDomains, ['https://*.cdn.example', 'https://files.example']);
    assert.deepEqual(hosts, [...granted.connectDomains, ...granted.resourceDomains]);
    const policy = read(text);
    assert.deepEqual(policy['connect-src'], granted.connectDomains);
    for (const name of ['script-src', 'style-src', 'img-src', 'font-src', 'media-src'])
      assert.deepEqual(policy[name], [...(nothing[name] ?? []), ...granted.resourceDomains], name);
  });

  test('anything but an origin is left out, and named', () => {
    const odd: unknown[] = [
      '*',
      'https:',
      'https://*',
      'https://*.com',
      'https://*.*.example.com',
      'https://a.*.example',
      'data:',
      'blob:',
      "'self'",
      "'unsafe-eval'",
      'example.com',
      '//example.com',
      'https://example.com/',
      'https://example.com/path',
      'https://example.com:*',
      'https://user@example.com',
      'https://example.com; script-src *',
      'https://example.com https://other.example',
      "https://example.com,'unsafe-eval'",
      'https://example.com\nx',
      'https://example.com"><script>',
      'https://-.example',
      'https://exämple.example',
      'ftp://example.com',
      'http://example.com',
      'ws://example.com',
      'http://localhost',
      '',
      null,
      7,
      {},
      { toString: 1, valueOf: 1 },
    ];
    for (const member of ['connectDomains', 'resourceDomains']) {
      for (const entry of odd) {
        const { text, ignored } = policyOf({ [member]: [entry] }, false);
        assert.deepEqual([added(text), ignored.length], [[], 1], `${member}: ${JSON.stringify(entry)}`);
      }
    }
    assert.deepEqual(added(policyOf({ resourceDomains: ['wss://a.example'] }, false).text), []);
    for (const member of ['frameDomains', 'baseUriDomains']) {
      const { text, ignored } = policyOf({ [member]: ['https://a.example'] }, false);
      assert.deepEqual([added(text), ignored.length], [[], 1], member);
    }
  });

  test('this machine only from a console on this machine', () => {
    const csp = { connectDomains: ['ws://localhost:3000', 'http://127.0.0.1:3000'] };
    assert.deepEqual(policyOf(csp, false).hosts, []);
    assert.deepEqual(policyOf(csp, true).hosts, csp.connectDomains);
    assert.deepEqual(policyOf({ connectDomains: ['http://192.168.1.1', 'http://localhost.example'] }, true).hosts, []);
  });

  test('no text of a server becomes more than origins', () => {
    const parts = fc.constantFrom(
      'https://',
      'wss://',
      'a.example',
      '*',
      '.',
      ':',
      ';',
      ' ',
      "'unsafe-eval'",
      '"',
      '/',
    );
    const entry = fc.oneof(
      fc.webUrl(),
      fc.string(),
      fc.array(parts, { maxLength: 8 }).map((all) => all.join('')),
    );
    const list = fc.oneof({ weight: 5, arbitrary: fc.array(entry, { maxLength: 60 }) }, fc.anything());
    const csp = fc.record(Object.fromEntries(members.map((member) => [member, list])), { requiredKeys: [] });
    fc.assert(
      fc.property(fc.oneof({ weight: 9, arbitrary: csp }, fc.anything()), fc.boolean(), (declared, isLocal) => {
        const { text, hosts } = policyOf(declared, isLocal);
        assert.doesNotMatch(text, /["<>&\n,]/, 'it is written into an attribute');
        assert.deepEqual(
          added(text).filter((source) => !hosts.includes(source)),
          [],
        );
        for (const host of hosts) assert.match(host, /^(https|wss|http|ws):\/\/(\*\.)?[a-z0-9.-]+(:\d+)?$/);
        const local = /^(http|ws):\/\/(localhost|127\.0\.0\.1)(:\d+)?$/;
        for (const host of hosts) if (!/^(https|wss):/.test(host)) assert.ok(isLocal && local.test(host), host);
      }),
      { numRuns: 300 },
    );
  });
});
