import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { WebSocket } from 'ws';
import { eventually, within } from '../../test/support/wait.ts';
import { listen, type SocketOwner } from '../src/connections/peer-socket.ts';
import { limitMessages } from '../src/connections/ws-internals.ts';
import { socketPair } from './support/sockets.ts';

/** A socket whose owner writes down what it is told. */
async function owned(t: TestContext) {
  const { own, peer, wire } = await socketPair(t);
  const told: string[] = [];
  const { _socket: stream } = own as unknown as { _socket: Duplex };
  const owner: SocketOwner = {
    receive: (message, isBinary) => void told.push(`${isBinary ? 'bytes' : 'text'} ${message.toString()}`),
    receivePing: (payload) => void told.push(`ping ${payload.toString()}`),
    receivePong: (payload) => void told.push(`pong ${payload.toString()}`),
    receiveBytes() {},
    end(why) {
      told.push(`${why}, ${own.readyState === WebSocket.OPEN ? 'open' : 'closing'}`);
      own.close(4000, 'too large');
    },
    failed: (code) => void told.push(`failed ${code}`),
    closed: (code) => void told.push(`closed ${code}`),
    fail: (error) => void told.push(String(error)),
  };
  listen(own, stream, owner);
  const closed = once(peer, 'close') as Promise<[number]>;
  return { own, peer, wire, owner, told, closed };
}

test('an owner is told what comes', async (t) => {
  const { own, peer, told } = await owned(t);
  peer.send('one');
  peer.send(Buffer.from('two'));
  peer.ping('three');
  own.ping('four');
  await eventually(() => told.length === 4);
  peer.close(1000);
  await eventually(() => told.length === 5);
  assert.deepEqual(told, ['text one', 'bytes two', 'ping three', 'pong four', 'closed 1000']);
});

test('bytes are counted as they come, also of a message that is not there yet', async (t) => {
  const { peer, owner } = await owned(t);
  let bytes = 0;
  owner.receiveBytes = (size) => void (bytes += size);
  peer.send('x'.repeat(1000), { fin: false });
  await eventually(() => bytes > 1000);
});

test('what an owner throws comes to the owner', async (t) => {
  const { peer, owner, told } = await owned(t);
  owner.receive = () => {
    throw new Error('thrown');
  };
  peer.send('one');
  await eventually(() => told.length === 1);
  assert.deepEqual(told, ['Error: thrown']);
});

test('a limit counts from now on, and is reported before ws closes the socket', async (t) => {
  const { own, peer, told, closed } = await owned(t);
  const [small, large, tooLarge] = ['x'.repeat(10), 'x'.repeat(100), 'x'.repeat(11)];
  limitMessages(own, 100);
  peer.send(large);
  await eventually(() => told.length === 1);
  limitMessages(own, 10);
  peer.send(small);
  peer.send(tooLarge);
  const [code] = await within(closed, 'the socket closes');
  assert.deepEqual([told.slice(0, 3), code], [[`text ${large}`, `text ${small}`, 'frame_too_large, open'], 4000]);
});

test('a message in too many pieces is reported, too', async (t) => {
  const { own, peer, told, closed } = await owned(t);
  limitMessages(own, 1000);
  for (let piece = 0; piece < 65; piece++) peer.send('x', { fin: false });
  await within(closed, 'the socket closes');
  assert.equal(told.filter((what) => what.startsWith('frame_too_large')).length, 1);
});

test('another error of the WebSocket is not', async (t) => {
  const { wire, told, closed } = await owned(t);
  wire.write(Buffer.of(0xff, 0xff));
  await within(closed, 'the socket closes');
  assert.deepEqual(
    told.filter((what) => what.startsWith('frame_too_large')),
    [],
  );
});

for (const code of [1008, 1009]) {
  test(`nor is a peer that closes with ${code} itself, which it hears back`, async (t) => {
    const { peer, told, closed } = await owned(t);
    peer.close(code);
    assert.deepEqual(await within(closed, 'the socket closes'), [code, Buffer.alloc(0)]);
    await eventually(() => told.length === 1);
    assert.deepEqual(told, [`closed ${code}`]);
  });
}
