import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { TestContext } from 'node:test';
import {
  type FrameFromRelay,
  type JoinedFrame,
  type JoinFrame,
  type PeerClaims,
  type Role,
  subprotocol,
} from 'mcp-rendezvous-protocol';
import { RelayConnection } from 'mcp-rendezvous';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { type WebSocket, WebSocketServer } from 'ws';
import { testSecret } from './relay.ts';

/** What happens to the n-th socket as soon as it joins. */
export type OnJoin = (socket: WebSocket, n: number, join: JoinFrame, tcp: Socket) => void;

/** A relay of another make, which does as the test likes. Resolves with its address. */
export async function otherRelay(t: TestContext, onjoin: OnJoin): Promise<string> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => subprotocol });
  await once(server, 'listening');
  t.after(() => {
    for (const socket of server.clients) socket.terminate();
    server.close();
  });
  let sockets = 0;
  server.on('connection', (socket, { socket: tcp }) =>
    socket.once('message', (frame: Buffer) =>
      onjoin(socket, ++sockets, JSON.parse(frame.toString()) as JoinFrame, tcp),
    ),
  );
  return `ws://127.0.0.1:${(server.address() as { port: number }).port}`;
}

export const send = (socket: WebSocket, frame: FrameFromRelay): void => socket.send(JSON.stringify(frame));

export const claims = (sub: string, role: Role): PeerClaims => ({ sub, role, exp: 4_000_000_000 });

/** The answer to a `join`: those peers are there, all of them of the other role. */
export const joined = (role: Role, ...peers: string[]): JoinedFrame => ({
  type: 'joined',
  peer: 'self',
  resume: 'self.secret',
  room: 'room',
  role,
  peers: peers.map((id) => ({ id, state: 'online', claims: claims(id, role === 'server' ? 'client' : 'server') })),
  iceServers: [],
  expiresAt: 4_000_000_000,
  limits: { maxFrameBytes: 65_536 },
});

/** Each role and each time to live has its own. */
export const token = (role: Role, ttl: string | number = '1h'): Promise<string> =>
  createRoomToken({ key: testSecret, room: 'room', role, subject: role, ttl });

/** A server that has joined. */
export async function joinServer(t: TestContext, relay: string): Promise<RelayConnection> {
  const connection = new RelayConnection({ relay, token: await token('server') });
  t.after(() => connection.close());
  await connection.start();
  return connection;
}
