import assert from 'node:assert/strict';
import test from 'node:test';
import { hello, startGateway } from '../support/gateway.ts';
import { messages, post } from '../support/http.ts';

const origin = 'http://localhost:6274';
const preflight = (url: string, headers: Record<string, string>) => fetch(url, { method: 'OPTIONS', headers });

test('a page of an allowed origin may ask, and reads the answers', async (t) => {
  const { url } = await startGateway(t, undefined, { origins: [origin] });
  const asked = 'content-type,mcp-session-id,mcp-protocol-version,mcp-method,mcp-param-city,last-event-id,x-other';
  const allowed = await preflight(url, { origin, 'access-control-request-headers': asked });
  assert.equal(allowed.status, 204);
  assert.equal(allowed.headers.get('access-control-allow-origin'), origin);
  assert.equal(allowed.headers.get('vary'), 'Origin');
  assert.equal(allowed.headers.get('access-control-allow-methods'), 'GET, POST, DELETE');
  assert.equal(
    allowed.headers.get('access-control-allow-headers'),
    asked.replace(',x-other', '').replaceAll(',', ', '),
  );

  const response = await post(url, hello, { origin });
  assert.equal(response.headers.get('access-control-allow-origin'), origin);
  assert.equal(response.headers.get('access-control-expose-headers'), 'Mcp-Session-Id, WWW-Authenticate');
  assert.equal((await messages(response))[0]?.id, 0);
  const headers = { origin, 'mcp-session-id': response.headers.get('mcp-session-id') ?? '' };
  const stream = await post(url, { id: 1, method: 'echo' }, headers);
  assert.equal(stream.headers.get('access-control-allow-origin'), origin);
  const over = await post(url, { id: 1, method: 'echo' }, { ...headers, 'mcp-session-id': 'x' });
  assert.deepEqual([over.status, over.headers.get('access-control-allow-origin')], [404, origin], 'errors, too');
});

test('pages of other sites may not, and programs are told nothing of pages', async (t) => {
  const { url } = await startGateway(t);
  for (const evil of ['http://evil.example', 'null', 'https://localhost.evil.example']) {
    const refused = await preflight(url, { origin: evil, 'access-control-request-method': 'POST' });
    assert.deepEqual([refused.status, refused.headers.get('access-control-allow-origin')], [403, null], evil);
  }
  assert.equal((await preflight(url, {})).status, 405);
  assert.equal((await post(url, hello)).headers.get('access-control-allow-origin'), null);
});
