import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../test/support/wait.ts';
import { limitMessages, pieceBytes, unreadBytes, unsentBytes } from '../src/connections/ws-internals.ts';
import { socketPair } from './support/sockets.ts';

test('the memory of an incomplete message is counted, in frames and in parts of a frame', async (t) => {
  const { own, peer, wire } = await socketPair(t);
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
  const { own, peer } = await socketPair(t);
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
