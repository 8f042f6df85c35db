import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { RendezvousError } from 'mcp-rendezvous';
import type { WebSocket } from 'ws';
import { claims, joined, joinServer, otherRelay, send } from './support/other-relay.ts';
import { eventually } from './support/wait.ts';

// A peer that comes back to a relay of another make, and what it finds there.

const candidate = { kind: 'candidate', gen: 1, candidate: { candidate: 'candidate:1' } } as const;
const offer = { kind: 'offer', gen: 1, seq: 1, body: { sdp: 'v=0' } } as const;

test('under a new identity no channel goes on, also to a peer that is still there', async (t) => {
  const sockets: WebSocket[] = [];
  const relay = await otherRelay(t, (socket, n) => {
    sockets.push(socket);
    send(socket, { ...joined('server', 'client'), peer: `self-${n}` });
  });
  const connection = await joinServer(t, relay);
  const channel = connection.channel('client');
  const ends: (string | undefined)[] = [];
  channel.onclose = (error) => ends.push((error as RendezvousError | undefined)?.message);
  await channel.send(candidate);
  sockets[0]?.terminate();
  await eventually(() => connection.id === 'self-2');
  assert.equal(ends.length, 1);
  assert.match(ends[0] ?? '', /new id/);
  assert.equal(connection.knows('client'), true);
});

test('a peer that was not there when this one came back may begin again under the same id', async (t) => {
  const sockets: WebSocket[] = [];
  const relay = await otherRelay(t, (socket, n) => {
    sockets.push(socket);
    send(socket, n === 1 ? joined('server', 'client') : joined('server'));
  });
  const connection = await joinServer(t, relay);
  let offers = 0;
  connection.onchannel = (channel) => {
    channel.onmessage = () => {
      offers += 1;
      void channel.close();
    };
    void channel.start();
  };
  const [first] = sockets;
  assert(first);
  send(first, { type: 'signal', from: 'client', data: offer });
  await eventually(() => offers === 1);
  // One that is lost is kept for its return; one that is not there when we come back is not.
  send(first, { type: 'peer', id: 'client', state: 'gone', lost: true });
  await eventually(() => !connection.knows('client'));
  first.terminate();
  await eventually(() => sockets.length === 2 && connection.state === 'joined');
  const [, second] = sockets;
  assert(second);
  send(second, { type: 'peer', id: 'client', state: 'online', claims: claims('client', 'client') });
  send(second, { type: 'signal', from: 'client', data: offer });
  await eventually(() => offers === 2);
});

test('a socket that is lost while another one is being opened is no reason for a third', async (t) => {
  const sockets: WebSocket[] = [];
  const relay = await otherRelay(t, (socket, n) => {
    sockets.push(socket);
    // The second one has to wait for its answer.
    if (n !== 2) send(socket, joined('server'));
  });
  const connection = await joinServer(t, relay);
  const states: string[] = [];
  connection.onstatechange = (state) => states.push(state);
  const [first] = sockets;
  assert(first);
  send(first, { type: 'goaway', afterMs: 0 });
  await eventually(() => sockets.length === 2);
  first.terminate();
  await eventually(() => connection.state === 'reconnecting');
  // Whatever the loss would begin begins now, and not after a pause.
  connection.retryNow();
  await turn();
  const [, second] = sockets;
  assert(second);
  send(second, joined('server'));
  await eventually(() => connection.state === 'joined');
  assert.equal(sockets.length, 2);
  assert.deepEqual(states, ['reconnecting', 'joined']);
  // It is the second one that serves.
  send(second, { type: 'peer', id: 'client', state: 'online', claims: claims('client', 'client') });
  await eventually(() => connection.knows('client'));
});
