import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { WebSocket, WebSocketServer } from 'ws';
import { PeerSocket } from '../../src/connections/peer-socket.ts';

/** Both ends of a WebSocket, and the peer's TCP connection, to send what no client would. */
export async function socketPair(t: TestContext): Promise<{ own: PeerSocket; peer: WebSocket; wire: Socket }> {
  const server = new WebSocketServer({
    host: '127.0.0.1',
    port: 0,
    perMessageDeflate: false,
    autoPong: false,
    WebSocket: PeerSocket,
  });
  t.after(() => server.close());
  await once(server, 'listening');
  const peer = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  t.after(() => peer.terminate());
  const opened = once(peer, 'open');
  const [own] = (await once(server, 'connection')) as [PeerSocket];
  await opened;
  own.on('error', () => undefined);
  const { _socket: wire } = peer as unknown as { _socket: Socket };
  return { own, peer, wire };
}
