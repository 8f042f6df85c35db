import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import {
  frameToRelay,
  type FrameFromRelay,
  type PeerClaims,
  type PeerData,
  type Role,
  subprotocol,
} from 'mcp-rendezvous/protocol';
import { decodeJwt } from 'jose';
import { wrtcEngine } from 'mcp-rendezvous';
import { type ConnectedPeer, PeerNegotiation } from '../../sdk/src/peer/peer.ts';
import { RelayChannel } from '../../sdk/src/signaling/channel.ts';

interface Side {
  socket: WebSocket;
  channel: RelayChannel;
}

/**
 * A relay that sits in the middle: to each of the two peers of a room it pretends to be the other one, with a certificate of
 * its own, and passes on between the two data channels what it reads there.
 */
export class MiddleRelay {
  /** Everything that it has read, as text. */
  readonly read: string[] = [];
  /** How many channels it has put itself between. */
  pairs = 0;
  readonly #server: WebSocketServer;
  readonly #sides = new Map<Role, Side>();
  readonly #connected: ConnectedPeer[] = [];

  private constructor(server: WebSocketServer) {
    this.#server = server;
    server.on('connection', (socket) => this.#welcome(socket));
  }

  static async start(): Promise<MiddleRelay> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => subprotocol });
    await new Promise((resolve) => server.once('listening', resolve));
    return new MiddleRelay(server);
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    for (const { socket, channel } of this.#sides.values()) {
      channel.end();
      socket.terminate();
    }
    await Promise.all(this.#connected.map(async ({ connection }) => connection.close()));
    this.#server.close();
  }

  #welcome(socket: WebSocket): void {
    socket.on('message', (text: Buffer) => {
      const frame = frameToRelay.parse(JSON.parse(text.toString()));
      if (frame.type === 'join') this.#join(socket, decodeJwt<PeerClaims>(frame.token));
      if (frame.type === 'signal') {
        for (const side of this.#sides.values()) if (side.socket === socket) side.channel.receive(frame.data);
      }
      if (frame.type === 'ping') send(socket, { type: 'pong' });
    });
  }

  #join(socket: WebSocket, claims: PeerClaims): void {
    const { role } = claims;
    const other: Role = role === 'server' ? 'client' : 'server';
    const pretended = `pretended-${other}`;
    const transmit = (data: PeerData) => send(socket, { type: 'signal', from: pretended, data });
    this.#sides.set(role, { socket, channel: new RelayChannel(pretended, transmit, () => {}) });
    send(socket, {
      type: 'joined',
      peer: `real-${role}`,
      resume: 'real.secret',
      room: 'room',
      role,
      peers: [{ id: pretended, state: 'online', claims: { sub: `${other}-1`, role: other, exp: claims.exp } }],
      iceServers: [],
      expiresAt: claims.exp,
      limits: { maxFrameBytes: 65_536 },
    });
    if (this.#sides.size === 2) void this.#sitDown();
  }

  /** To the client it is the server, and to the server the client. */
  async #sitDown(): Promise<void> {
    const [client, server] = [this.#sides.get('client')!, this.#sides.get('server')!];
    const negotiation = ({ channel }: Side, offerer: boolean) =>
      new PeerNegotiation({
        signaling: channel,
        offerer,
        // Not werift, which has one certificate for all connections of a process: here that would be the victims' own.
        engine: wrtcEngine,
        iceServers: () => [],
        iceTransportPolicy: 'all',
        trickle: true,
      }).run(AbortSignal.timeout(20_000));
    const pair = await Promise.all([negotiation(client, false), negotiation(server, true)]);
    this.#connected.push(...pair);
    this.pairs++;
    for (const [from, to] of [pair, pair.toReversed()] as [ConnectedPeer, ConnectedPeer][]) {
      const pass = (data: unknown): void => {
        const bytes = typeof data === 'string' ? data : new Uint8Array(data as ArrayBuffer);
        this.read.push(typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString('latin1'));
        if (to.channel.readyState === 'open') to.channel.send(bytes);
      };
      from.channel.onmessage = ({ data }) => pass(data);
      from.channel.onclose = () => to.channel.close();
      for (const data of from.early.splice(0)) pass(data);
    }
  }
}

const send = (socket: WebSocket, frame: FrameFromRelay): void => socket.send(JSON.stringify(frame));
