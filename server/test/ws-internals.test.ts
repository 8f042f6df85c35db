import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { eventually, within } from '../../test/support/wait.ts';
import {
  limitMessages,
  onOversizedMessage,
  pieceBytes,
  unreadBytes,
  unsentBytes,
} from '../src/connections/ws-internals.ts';

/** Both ends of a WebSocket. */
async function pair(t: TestContext): Promise<{ own: WebSocket; peer: WebSocket; wire: Socket }> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
  t.after(() => server.close());
  await once(server, 'listening');
  const peer = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  t.after(() => peer.terminate());
  const opened = once(peer, 'open');
  const [own] = (await once(server, 'connection')) as [WebSocket];
  await opened;
  own.on('error', () => undefined);
  // The client end of the TCP connection, to send what no WebSocket client would.
  const { _socket: wire } = peer as unknown as { _socket: Socket };
  return { own, peer, wire };
}

test('a limit counts from now on, and is reported before ws closes the socket', async (t) => {
  const { own, peer } = await pair(t);
  const events: string[] = [];
  own.on('message', (data: Buffer) => events.push(`message ${data.byteLength}`));
  onOversizedMessage(own, () => {
    events.push(`oversized, ${own.readyState === WebSocket.OPEN ? 'open' : 'closing'}`);
    own.close(4000, 'too large');
  });
  limitMessages(own, 100);
  peer.send('x'.repeat(100));
  await eventually(() => events.length === 1);
  limitMessages(own, 10);
  peer.send('x'.repeat(11));
  const [code] = (await within(once(peer, 'close'), 'the socket closes')) as [number];
  assert.deepEqual([events, code], [['message 100', 'oversized, open'], 4000]);
});

test('a message in too many pieces is reported, too', async (t) => {
  const { own, peer } = await pair(t);
  let reported = 0;
  onOversizedMessage(own, () => reported++);
  limitMessages(own, 1000);
  for (let piece = 0; piece < 65; piece++) peer.send('x', { fin: false });
  await within(once(peer, 'close'), 'the socket closes');
  assert.equal(reported, 1);
});

test('another error of the WebSocket is not', async (t) => {
  const { own, peer, wire } = await pair(t);
  let reported = 0;
  onOversizedMessage(own, () => reported++);
  wire.write(Buffer.of(0xff, 0xff));
  await within(once(peer, 'close'), 'the socket closes');
  assert.equal(reported, 0);
});

test('the memory of an incomplete message is counted, in frames and in parts of a frame', async (t) => {
  const { own, peer, wire } = await pair(t);
  limitMessages(own, 100_000);
  assert.equal(unreadBytes(own), 0);
  peer.send('x'.repeat(500), { fin: false });
  await eventually(() => unreadBytes(own) === 500 + pieceBytes);
  // The head of a masked continuation of 1000 bytes, and 100 of them.
  wire.write(Buffer.concat([Buffer.of(0x80, 0xfe, 0x03, 0xe8, 0, 0, 0, 0), Buffer.alloc(100, 'x')]));
  await eventually(() => unreadBytes(own) === 600 + 2 * pieceBytes);
  wire.write(Buffer.alloc(900, 'x'));
  await eventually(() => unreadBytes(own) === 0);
});

test('the memory of what the peer has not read is counted, with each piece of it', async (t) => {
  const { own, peer } = await pair(t);
  assert.equal(unsentBytes(own), 0);
  peer.pause();
  // As much as the system takes, and then some.
  while (own.bufferedAmount < 1_000_000) own.send('x'.repeat(100_000));
  const before = unsentBytes(own);
  assert.ok(before > own.bufferedAmount);
  for (let n = 0; n < 10; n++) own.send('y');
  assert.ok(unsentBytes(own) >= before + 10 * pieceBytes);
  peer.resume();
  await eventually(() => unsentBytes(own) === 0);
});
