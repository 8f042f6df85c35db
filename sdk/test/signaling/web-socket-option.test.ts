import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RelayConnection, WebRTCClientTransport, type WebSocketConstructor } from 'mcp-rendezvous';
import { testToken } from '../../../server/test/support/peer.ts';
import { RelayProcess } from '../../../test/support/relay.ts';

test('every socket to the relay is opened by the class of the option webSocket', async (t) => {
  const relay = await RelayProcess.start();
  t.after(() => relay.stop());
  const opened: string[] = [];
  class Watched extends WebSocket {
    constructor(url: URL, protocols: string) {
      super(url, protocols);
      opened.push(`${url.pathname} ${protocols}`);
    }
  }
  const token = await testToken({ room: 'watched', role: 'client' });
  const connection = new RelayConnection({ relay: relay.ws, token, webSocket: Watched });
  t.after(() => connection.close());
  await connection.start();
  assert.deepEqual(opened, ['/v1/connect mcp-rendezvous.v1']);
});

test('what is no class is refused when the transport is made', () => {
  const webSocket = 'ws' as unknown as WebSocketConstructor; // what plain JavaScript can pass
  assert.throws(() => new WebRTCClientTransport({ relay: 'ws://127.0.0.1:1', token: 'a.b.c', webSocket }), {
    code: 'bad_option',
  });
});
