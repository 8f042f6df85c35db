import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request as httpRequest } from 'node:http';
import { text } from 'node:stream/consumers';
import test from 'node:test';
import * as fc from 'fast-check';
import { sampled } from '../../../../test/support/full.ts';
import { hello, startGateway } from '../support/gateway.ts';

const origin = 'http://localhost:6274';
const token = 'a-token-of-a-test-1/2+3~==';
const json = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };

/** Sends headers as they are, Host included, which fetch() does not let through. */
async function ask(url: string, headers: Record<string, string>, method = 'POST'): Promise<IncomingMessage> {
  const request = httpRequest(url, { method, headers: { ...json, ...headers } });
  request.end(method === 'POST' ? JSON.stringify({ jsonrpc: '2.0', ...hello }) : undefined);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  await text(response);
  return response;
}
const status = async (...args: Parameters<typeof ask>) => (await ask(...args)).statusCode;

test('names: those of loopback with the right port, and those that are allowed', async (t) => {
  const { url } = await startGateway(t, undefined, { hosts: ['desk.example'] });
  const { port } = new URL(url);
  for (const name of ['localhost', 'LOCALHOST', '127.0.0.1', '[::1]']) {
    assert.equal(await status(url, { host: `${name}:${port}` }), 200, name);
    for (const host of [name, `${name}:`, `${name}:80`, `${name}:${Number(port) ^ 1}`, `${name}:0${port}x`]) {
      assert.equal(await status(url, { host }), 403, host);
    }
  }
  for (const host of ['desk.example', 'Desk.Example:8443']) assert.equal(await status(url, { host }), 200, host);
  for (const name of [
    'evil.example',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '[::2]',
    'x@localhost',
    'localhost.',
    '',
    '127.1',
    '0x7f000001',
    '2130706433',
    '0.0.0.0',
    'desk.example.evil.example',
    'xdesk.example',
    '[::1]x',
  ]) {
    assert.equal(await status(url, { host: `${name}:${port}` }), 403, name);
  }
});

test('off loopback its names are nobody else’s, either', async (t) => {
  const { url } = await startGateway(t, undefined, { loopback: false, hosts: ['desk.example'], token });
  const headers = { authorization: `Bearer ${token}` };
  assert.equal(await status(url, headers), 403);
  assert.equal(await status(url, { ...headers, host: 'desk.example' }), 200);
});

test('no page may call unless its origin is allowed, in full; programs may', async (t) => {
  const { url } = await startGateway(t);
  const { port } = new URL(url);
  assert.equal(await status(url, {}), 200);
  // Its own origin, too: there is no page here.
  for (const page of [origin, `http://localhost:${port}`, `http://127.0.0.1:${port}`, 'null', '', 'http://localhost']) {
    assert.equal(await status(url, { origin: page }), 403, page);
    const refused = await ask(url, { origin: page, 'access-control-request-method': 'POST' }, 'OPTIONS');
    assert.equal(refused.statusCode, 403, page);
    assert.equal(refused.headers['access-control-allow-origin'], undefined);
  }
});

test('of all origins, those that are allowed and no other', async (t) => {
  const origins = [origin, 'https://app.example', 'chrome-extension://abcdef'];
  const { url } = await startGateway(t, undefined, { origins });
  const part = <T extends string>(...values: T[]) => fc.constantFrom(...values);
  const near = fc
    .tuple(
      part('http:', 'https:', 'chrome-extension:', 'HTTP:'),
      part('localhost', 'app.example', 'abcdef', '127.0.0.1', '[::1]', 'localhost.evil.example', 'x@localhost', '*'),
      part('', ':6274', ':443', ':80', ':6275', ':62740'),
      part('', '/', '#', '.', ' '),
    )
    .map(([scheme, host, port, end]) => `${scheme}//${host}${port}${end}`.trim());
  await fc.assert(
    fc.asyncProperty(fc.oneof(part(...origins), near), part('POST', 'OPTIONS'), async (page, method) => {
      const answer = await ask(url, { origin: page }, method);
      const allowed = origins.includes(page);
      assert.equal(answer.statusCode, allowed ? (method === 'POST' ? 200 : 204) : 403, page);
      assert.equal(answer.headers['access-control-allow-origin'], allowed ? page : undefined, page);
    }),
    { numRuns: sampled(200), examples: origins.map((page) => [page, 'POST'] as [string, 'POST']) },
  );
});

test('with a token every request presents it; a preflight, which cannot, is for allowed origins only', async (t) => {
  const { url, children } = await startGateway(t, undefined, { token, origins: [origin] });
  const wrong = [
    'Bearer',
    'Bearer ',
    `Bearer ${token}x`,
    `Bearer ${token.slice(1)}`,
    `Basic ${token}`,
    token,
    `Bearer  x`,
    `Bearer ${token}, Bearer ${token}`,
    `Bearer ${token.toUpperCase()}`,
    `bearer${token}`,
  ];
  for (const authorization of [undefined, ...wrong]) {
    for (const method of ['POST', 'GET', 'DELETE', 'PUT']) {
      const headers = { origin, ...(authorization === undefined ? {} : { authorization }) };
      const answer = await ask(url, headers, method);
      assert.equal(answer.statusCode, 401, `${method} ${authorization}`);
      assert.match(answer.headers['www-authenticate'] ?? '', /^Bearer realm="mcp-rendezvous"/);
      assert.equal(answer.headers['access-control-allow-origin'], origin, 'the page reads why');
    }
  }
  assert.equal(await status(url, {}, 'OPTIONS'), 401);
  assert.equal(children.length, 0, 'nobody was connected');
  const preflight = await ask(url, { origin, 'access-control-request-headers': 'authorization' }, 'OPTIONS');
  assert.equal(preflight.statusCode, 204);
  assert.equal(preflight.headers['access-control-allow-headers'], 'authorization');
  for (const scheme of ['Bearer', 'bearer']) {
    assert.equal(await status(url, { authorization: `${scheme} ${token}` }), 200);
    assert.equal(await status(url, { origin, authorization: `${scheme} ${token}` }), 200);
  }
  assert.equal(await status(url, { origin: 'http://localhost', authorization: `Bearer ${token}` }), 403);
});
