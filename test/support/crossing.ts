import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { decodeJwt } from 'jose';
import { frameToRelay, type FrameFromRelay, type PeerClaims, type Role, subprotocol } from 'mcp-rendezvous-protocol';
import { type WebSocket, WebSocketServer } from 'ws';

/** What the relay tells one side of the other's token, whose claims these are. */
export type Tell = (claims: PeerClaims) => PeerClaims;

export interface CrossingRelay {
  url: string;
  /** Resolves when a server has joined, which has to come first. */
  serverJoined: Promise<void>;
}

/**
 * A relay that introduces a client and a server to each other whatever their tokens say: other
 * rooms, other issuers. It passes their signals on as they are, so that the certificates are the
 * right ones.
 */
export async function crossingRelay(t: TestContext, tell: Partial<Record<Role, Tell>> = {}): Promise<CrossingRelay> {
  const relay = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => subprotocol });
  await once(relay, 'listening');
  t.after(() => {
    for (const socket of relay.clients) socket.terminate();
    relay.close();
  });
  const serverJoined = Promise.withResolvers<void>();
  const sides = new Map<Role, { socket: WebSocket; claims: PeerClaims }>();
  relay.on('connection', (socket) => {
    let role: Role;
    const toOther = (frame: FrameFromRelay) => {
      const other = sides.get(role === 'server' ? 'client' : 'server');
      if (other) send(other.socket, frame);
    };
    socket.on('message', (text: Buffer) => {
      const frame = frameToRelay.parse(JSON.parse(text.toString()));
      if (frame.type === 'ping') send(socket, { type: 'pong' });
      if (frame.type === 'signal') toOther({ type: 'signal', from: role, data: frame.data });
      if (frame.type !== 'join') return;
      const claims = decodeJwt<PeerClaims & { room: string }>(frame.token);
      ({ role } = claims);
      const other = role === 'client' ? sides.get('server') : undefined;
      sides.set(role, { socket, claims });
      const told = (claimed: PeerClaims, to: Role) => (tell[to] ?? ((same) => same))(claimed);
      send(socket, {
        type: 'joined',
        peer: role,
        resume: `${role}.secret`,
        room: claims.room,
        role,
        peers: other ? [{ id: 'server', state: 'online', claims: told(other.claims, 'client') }] : [],
        iceServers: [],
        expiresAt: claims.exp,
        limits: { maxFrameBytes: 65_536 },
      });
      if (role === 'server') return serverJoined.resolve();
      toOther({ type: 'peer', id: 'client', state: 'online', claims: told(claims, 'server') });
      if (frame.signal) toOther({ type: 'signal', from: 'client', data: frame.signal.data });
    });
  });
  const { port } = relay.address() as { port: number };
  return { url: `ws://127.0.0.1:${port}`, serverJoined: serverJoined.promise };
}

const send = (socket: WebSocket, frame: FrameFromRelay): void => socket.send(JSON.stringify(frame));
