import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { test, type TestContext } from 'node:test';
import { startApp } from './support/app.ts';

/** Starts a relay and returns what it answers to a GET, with headers that fetch would not send. */
async function start(t: TestContext, env: Record<string, string>) {
  const { url } = await startApp(t, env);
  return async (path: string, headers: Record<string, string> = {}): Promise<number> => {
    const sent = request(`${url}${path}`, { headers }).end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    response.resume();
    return response.statusCode ?? 0;
  };
}

test('CONSOLE=off: nothing at its addresses, and the relay as ever', async (t) => {
  const get = await start(t, { CONSOLE: 'off' });
  assert.deepEqual(
    [await get('/'), await get('/sandbox'), await get('/assets/'), await get('/healthz')],
    [404, 404, 404, 200],
  );
});

test('CONSOLE=off without a key: no tokens for it either', async (t) => {
  const { url } = await startApp(t, { RELAY_SECRET: '', CONSOLE: 'off' });
  const response = await fetch(`${url}/console/tokens`, { method: 'POST', headers: { origin: url } });
  assert.equal(response.status, 404);
});

test('CONSOLE=local: browsers on this machine have it, and nobody else', async (t) => {
  const get = await start(t, { CONSOLE: 'local', TRUST_PROXY: 'loopback' });
  for (const host of ['127.0.0.1:8787', 'localhost', '[::1]:8787'])
    for (const path of ['/', '/sandbox']) assert.equal(await get(path, { host }), 200, `Host ${host}, ${path}`);
  const others: Record<string, string>[] = [
    // A name that points to this machine, and a proxy that keeps the name.
    { host: 'relay.example' },
    { host: '127.0.0.1.relay.example' },
    // A proxy that says whom it asks for.
    { 'x-forwarded-for': '203.0.113.7' },
    { 'x-forwarded-for': '127.0.0.1' },
    { forwarded: 'for=203.0.113.7' },
    { 'x-real-ip': '203.0.113.7' },
  ];
  for (const headers of others) {
    for (const path of ['/', '/sandbox', '/assets/'])
      assert.equal(await get(path, headers), 404, `${JSON.stringify(headers)} ${path}`);
    assert.equal(await get('/healthz', headers), 200, JSON.stringify(headers));
  }
});
