import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import { WebRTCServerTransport } from 'mcp-rendezvous';
import { type FrameFromRelay, subprotocol } from 'mcp-rendezvous/protocol';
import { createRoomToken } from 'mcp-rendezvous/token';
import { type WebSocket, WebSocketServer } from 'ws';
import { testSecret } from './support/relay.ts';
import { eventually } from './support/wait.ts';

/** A relay of another make, that does to its n-th socket what the test says as soon as that one joins. */
async function relayOf(t: TestContext, onjoin: (socket: WebSocket, n: number) => void): Promise<string> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => subprotocol });
  await once(server, 'listening');
  t.after(() => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  });
  let sockets = 0;
  server.on('connection', (socket) => socket.once('message', () => onjoin(socket, ++sockets)));
  return `ws://127.0.0.1:${(server.address() as { port: number }).port}`;
}

const send = (socket: WebSocket, frame: FrameFromRelay) => socket.send(JSON.stringify(frame));

const joined = (peers: string[] = []): FrameFromRelay => ({
  type: 'joined',
  peer: 'self',
  resume: 'self.secret',
  room: 'frames',
  role: 'server',
  peers: peers.map((id) => ({ id, state: 'online', claims: { sub: id, role: 'client', exp: 4_000_000_000 } })),
  iceServers: [],
  expiresAt: 4_000_000_000,
  limits: { maxFrameBytes: 65_536 },
});

const token = (role: 'server' | 'client') =>
  createRoomToken({ key: testSecret, room: 'frames', role, subject: role, ttl: '1h' });

test('an offer that comes in one read with `joined` is taken', async (t) => {
  const answers: string[] = [];
  const relay = await relayOf(t, (socket) => {
    socket.on('message', (frame: Buffer) => {
      const { data } = JSON.parse(frame.toString()) as { data?: { kind: string; body?: { code?: string } } };
      if (data) answers.push(data.body?.code ?? data.kind);
    });
    const tcp = (socket as unknown as { _socket: { cork(): void; uncork(): void } })._socket; // ws keeps it private
    tcp.cork();
    send(socket, joined(['client']));
    send(socket, {
      type: 'signal',
      from: 'client',
      data: { kind: 'offer', gen: 1, seq: 1, body: { sdp: 'no offer' } },
    });
    tcp.uncork();
  });
  const transport = new WebRTCServerTransport({ relay, token: await token('server'), connectTimeoutMs: 5_000 });
  t.after(() => transport.close());
  await assert.rejects(transport.start(), { code: 'bad_signal' });
  await eventually(() => answers.includes('failed'));
  assert(!answers.includes('busy'));
});
