import assert from 'node:assert/strict';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { test } from 'node:test';
import { connectUrl, RelaySocket } from '../../src/signaling/relay-socket.ts';
import { RelayProcess, testSecret } from '../../../test/support/relay.ts';

test('an answer of the relay that came while this process stood still counts', async (t) => {
  const relay = await RelayProcess.start();
  t.after(() => relay.stop());
  const { signal } = new AbortController();
  const token = await createRoomToken({ key: testSecret, room: 'desk', role: 'client', subject: 'ada', ttl: '1h' });
  const socket = await RelaySocket.open(connectUrl(relay.ws), signal, undefined, false);
  t.after(() => socket.close());
  await socket.join({ type: 'join', token }, signal, () => {});

  const { promise: first, resolve } = Promise.withResolvers<string>();
  socket.onframe = ({ type }) => resolve(type);
  socket.onend = ({ error }) => resolve(error.code);
  socket.ask();
  // The relay answers; this process does nothing for longer than the answer may take (2 s).
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_500);
  assert.equal(await first, 'pong');
});
