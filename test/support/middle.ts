import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import {
  frameToRelay,
  type FrameFromRelay,
  type PeerClaims,
  type PeerData,
  type Role,
  subprotocol,
} from 'mcp-rendezvous-protocol';
import { decodeJwt } from 'jose';
import { type Signaling } from 'mcp-rendezvous';
import { nodeDatachannelEngine } from 'mcp-rendezvous/node-datachannel';
import { type ConnectedPeer, type Offer, PeerNegotiation } from '../../sdk/src/peer/negotiation.ts';
import { RelayChannel } from '../../sdk/src/signaling/relay-channel.ts';

/** What a description says of a certificate, as its writer puts it. */
const fingerprintLine = /^a=fingerprint:(.*\S)/m;
const resumedSession = /^a=mcp-framed:.* resume=(\S+)/m;

export interface MiddleOptions {
  /**
   * What becomes of the relay's own description on its way to a victim. Default: nothing.
   *
   * @param honest the fingerprint of the peer that the relay pretends to be, as that peer wrote it
   */
  forge?: (sdp: string, honest: string, victim: Role) => string;
  /** What becomes of what passes between the two data channels. Default: nothing. */
  change?: (data: string | Uint8Array<ArrayBuffer>) => string | Uint8Array<ArrayBuffer>;
  /** It introduces the peers to each other, until `takeOver()`. */
  honest?: boolean;
}

interface Side {
  socket: WebSocket;
  claims: PeerClaims;
  /** From whom this peer hears, as the relay pretends. */
  channel: RelayChannel;
  /** What came inside of its join. */
  first: unknown;
}

/** One attempt to be between the two. */
interface Attempt {
  client: Signaling;
  server: Signaling;
  abort: AbortController;
  /** Resolves with what the server says of its certificate. */
  answered: PromiseWithResolvers<string>;
}

/**
 * A relay that sits in the middle: to each of the two peers of a room it pretends to be the other
 * one, with a certificate of its own, and passes on between the two data channels what it reads
 * there.
 */
export class MiddleRelay {
  /** Everything that it has read, as text. */
  readonly read: string[] = [];
  /** How often it has tried. */
  attempts = 0;
  /** How many channels it has put itself between. */
  pairs = 0;
  readonly #options: MiddleOptions;
  readonly #server: WebSocketServer;
  readonly #sides = new Map<Role, Side>();
  readonly #connected: ConnectedPeer[] = [];
  #honest: boolean;
  #attempt: Attempt | undefined;

  private constructor(server: WebSocketServer, options: MiddleOptions) {
    this.#server = server;
    this.#options = options;
    this.#honest = options.honest === true;
    server.on('connection', (socket) => this.#welcome(socket));
  }

  static async start(options: MiddleOptions = {}): Promise<MiddleRelay> {
    const server = new WebSocketServer({ host: '127.0.0.1', port: 0, handleProtocols: () => subprotocol });
    await new Promise((resolve) => server.once('listening', resolve));
    return new MiddleRelay(server, options);
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /**
   * From now on it is between the two: each hears that the other one has another id, as after a
   * restart of the relay.
   */
  takeOver(): void {
    this.#honest = false;
    for (const [role, side] of this.#sides) {
      send(side.socket, { type: 'peer', id: pretended(role), state: 'gone' });
      this.#open(role, side, `${pretended(role)}-again`);
      send(side.socket, { type: 'peer', id: side.channel.peer!, state: 'online', claims: this.#claimsFor(role) });
    }
  }

  async stop(): Promise<void> {
    this.#attempt?.abort.abort();
    for (const { socket, channel } of this.#sides.values()) {
      channel.end();
      socket.terminate();
    }
    await Promise.all(this.#connected.map(async ({ connection }) => connection.close()));
    this.#server.close();
  }

  #welcome(socket: WebSocket): void {
    let role: Role | undefined;
    socket.on('message', (text: Buffer) => {
      const frame = frameToRelay.parse(JSON.parse(text.toString()));
      if (frame.type === 'join') role = this.#join(socket, frame);
      if (frame.type === 'signal' && role) this.#signal(role, frame.to, frame.data);
      if (frame.type === 'ping') send(socket, { type: 'pong' });
    });
  }

  #join(socket: WebSocket, { token, signal }: { token: string; signal?: { data?: unknown } | undefined }): Role {
    const claims = decodeJwt<PeerClaims>(token);
    const { role } = claims;
    const side = { socket, claims, first: signal?.data } as unknown as Side;
    this.#sides.set(role, side);
    this.#open(role, side, pretended(role));
    // Not before both are here, so that each one's joined has the other one in it.
    if (this.#sides.size < 2) return role;
    for (const one of this.#sides.keys()) this.#introduce(one);
    for (const [its, { channel, first }] of this.#sides) if (first) this.#signal(its, channel.peer, first);
    return role;
  }

  #introduce(role: Role): void {
    const { socket, claims, channel } = this.#sides.get(role)!;
    send(socket, {
      type: 'joined',
      peer: `real-${role}`,
      resume: 'real.secret',
      room: 'room',
      role,
      peers: [{ id: channel.peer!, state: 'online', claims: this.#claimsFor(role) }],
      iceServers: [],
      expiresAt: claims.exp,
      limits: { maxFrameBytes: 65_536 },
    });
  }

  /** Those of whom this peer hears from. */
  #claimsFor(role: Role) {
    const { sub, role: its, exp, jti } = this.#sides.get(otherThan(role))!.claims;
    return { sub, role: its, exp, jti };
  }

  #open(role: Role, side: Side, peer: string): void {
    const transmit = (data: PeerData) => send(side.socket, { type: 'signal', from: peer, data });
    const channel = new RelayChannel(peer, transmit, () => {});
    side.channel = channel;
    channel.onmessage = (message) => {
      if (role === 'client' && message.kind === 'offer') return void this.#sitDown(message);
      const attempt = this.#attempt;
      if (!attempt) return;
      if (role === 'server' && message.kind === 'answer') {
        attempt.answered.resolve(fingerprintLine.exec(message.sdp)?.[1] ?? '');
      }
      // Whom the server refuses, the client need not wait for.
      if (role === 'server' && message.kind === 'bye') void attempt.client.send(message);
      attempt[role].onmessage?.(message);
    };
    void channel.start();
  }

  #signal(role: Role, to: string | undefined, data: unknown): void {
    const side = this.#sides.get(role);
    const other = this.#sides.get(otherThan(role));
    if (!side || !other || to !== side.channel.peer) return;
    if (!this.#honest) return side.channel.receive(data);
    send(other.socket, { type: 'signal', from: other.channel.peer!, data: data as PeerData });
  }

  /** To the client it is the server, and to the server the client. */
  async #sitDown(offer: Offer): Promise<void> {
    this.#attempt?.abort.abort();
    this.attempts++;
    const [client, server] = [this.#sides.get('client')!, this.#sides.get('server')!];
    const answered = Promise.withResolvers<string>();
    const attempt: Attempt = {
      client: this.#forging(client.channel, 'client', answered.promise),
      server: this.#forging(server.channel, 'server', fingerprintLine.exec(offer.sdp)?.[1] ?? ''),
      abort: new AbortController(),
      answered,
    };
    this.#attempt = attempt;
    const negotiation = (signaling: Signaling, started: { gen: number; offer?: Offer }) =>
      new PeerNegotiation({
        signaling,
        started,
        offerer: started.offer === undefined,
        // Not werift, which has one certificate for all connections of a process: here that would
        // be the victims' own.
        engine: nodeDatachannelEngine,
        iceServers: () => [],
        iceTransportPolicy: () => 'all',
        trickle: true,
        resume: resumedSession.exec(offer.sdp)?.[1],
      }).run(AbortSignal.any([attempt.abort.signal, AbortSignal.timeout(30_000)]));
    const gen = offer.gen - 1;
    const both = await Promise.allSettled([
      negotiation(attempt.client, { gen, offer }),
      negotiation(attempt.server, { gen }),
    ]);
    const pair = both.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    this.#connected.push(...pair);
    if (pair.length < 2) return;
    this.pairs++;
    for (const [from, to] of [pair, pair.toReversed()] as [ConnectedPeer, ConnectedPeer][]) {
      const pass = (data: unknown): void => {
        const bytes = typeof data === 'string' ? data : new Uint8Array(data as ArrayBuffer);
        this.read.push(typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString('latin1'));
        if (to.channel.readyState === 'open') to.channel.send(this.#options.change?.(bytes) ?? bytes);
      };
      from.channel.onmessage = ({ data }) => pass(data);
      from.channel.onclose = () => to.channel.close();
      for (const data of from.early.splice(0)) pass(data);
    }
  }

  /** A victim's channel, on which descriptions are forged. */
  #forging(channel: RelayChannel, victim: Role, honest: string | Promise<string>): Signaling {
    const { forge } = this.#options;
    return {
      start: async () => {},
      async send(message) {
        const forged = forge && (message.kind === 'offer' || message.kind === 'answer');
        await channel.send(forged ? { ...message, sdp: forge(message.sdp, await honest, victim) } : message);
      },
      close: async () => {},
    };
  }
}

const otherThan = (role: Role): Role => (role === 'server' ? 'client' : 'server');

/** Whom a peer of that role hears from. */
const pretended = (role: Role): string => `pretended-${otherThan(role)}`;

const send = (socket: WebSocket, frame: FrameFromRelay): void => socket.send(JSON.stringify(frame));
