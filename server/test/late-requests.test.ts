import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { testSecret } from '../../test/support/relay.ts';
import { within } from '../../test/support/wait.ts';
import { parseConfig } from '../src/config/config.ts';
import { createApp } from '../src/http/app.ts';
import { createLogger } from '../src/log.ts';
import { RawPeer, testToken } from './support/peer.ts';

const adminToken = 'an-admin-token-for-tests';

/** What somebody sends, and then nothing more. */
const slow: Record<string, string> = {
  'nothing at all': '',
  'half a header': 'POST /v1/revocations HTTP/1.1\r\nHost: a\r\nAuthoriz',
  'half a body':
    'POST /v1/revocations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n' +
    `Authorization: Bearer ${adminToken}\r\nContent-Length: 100\r\n\r\n{"room":`,
};

test('a request has 10 s to come in whole; a WebSocket may stay', async (t) => {
  const config = parseConfig({ RELAY_SECRET: testSecret, ADMIN_TOKEN: adminToken, LOG_LEVEL: 'silent' });
  const app = await createApp({ config, log: createLogger('silent') });
  t.after(() => app.close());
  const { requestTimeout, headersTimeout } = app.server;
  assert.deepEqual({ requestTimeout, headersTimeout }, { requestTimeout: 10_000, headersTimeout: 10_000 });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  const peer = await RawPeer.join(url, testToken({ room: 'a room', role: 'server' }));
  // Its own request was none that is late. Once a second the server looks for such, by these.
  Object.assign(app.server, { requestTimeout: 500, headersTimeout: 500 });

  const replies = await Promise.all(
    Object.entries(slow).map(async ([what, text]) => {
      const socket = connect(Number(new URL(url).port), '127.0.0.1');
      let reply = '';
      socket.setEncoding('utf8').on('data', (part) => (reply += String(part)));
      socket.write(text);
      try {
        await within(once(socket, 'end'), `the end of a connection with ${what}`);
      } finally {
        socket.destroy();
      }
      return [what, reply.split('\r\n')[0]];
    }),
  );
  const late = 'HTTP/1.1 408 Request Timeout';
  assert.deepEqual(
    replies,
    Object.keys(slow).map((what) => [what, late]),
  );
  assert.equal(peer.socket.readyState, WebSocket.OPEN);
});
