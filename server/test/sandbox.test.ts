import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startApp } from './support/app.ts';

test('the frame of apps has no origin, no way out, and nothing of the relay', async (t) => {
  const { url } = await startApp(t, { ADMIN_TOKEN: 'a'.repeat(16) });
  const response = await fetch(`${url}/sandbox`);
  assert.equal(response.status, 200);
  assert.equal(response.headers.get('content-type'), 'text/html; charset=utf-8');
  assert.equal(response.headers.get('x-content-type-options'), 'nosniff');
  assert.equal(response.headers.get('referrer-policy'), 'no-referrer');
  assert.match(response.headers.get('permissions-policy') ?? '', /camera=\(\)/);
  const policy = (response.headers.get('content-security-policy') ?? '').split('; ');
  assert.equal(policy[0], 'sandbox allow-scripts allow-forms');
  for (const name of ['default-src', 'frame-src', 'worker-src', 'base-uri', 'form-action'])
    assert.ok(policy.includes(`${name} 'none'`), name);
  assert.ok(policy.includes("frame-ancestors 'self'"), 'only the console may have it as a frame');
  assert.doesNotMatch(policy.join(), /allow-same-origin|allow-top|allow-popups|'self' |unsafe-eval|\s\*/);
  const page = await response.text();
  assert.doesNotMatch(page, /data-|admin|src=|href=/, 'it is the same for everyone, and loads nothing');
  const etag = response.headers.get('etag') ?? '';
  assert.equal((await fetch(`${url}/sandbox`, { headers: { 'if-none-match': etag } })).status, 304);
  assert.match((await fetch(url)).headers.get('content-security-policy') ?? '', /; frame-src 'self';/);
});
