import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';
import { decodeJwt } from 'jose';
import { connectPath, decodeRelayed, encodeRelayed, type PeerClaims, subprotocol } from 'mcp-rendezvous-protocol';
import { WebSocket, WebSocketServer } from 'ws';

export type From = 'client' | 'server';

/** What an evil relay does with what passes it. Without an answer it passes on what it got. */
export interface Deeds {
  /** Relayed data, without its header: what is passed on instead. */
  data?: (data: Uint8Array, from: From) => Uint8Array[];
  /** What peers say to each other in signals. */
  signal?: (data: { kind: string; gen: number; body?: { noise?: string; sdp?: string } }, from: From) => void;
  /** What the honest relay tells a peer of another one. */
  claims?: (claims: PeerClaims, to: From) => void;
  /** The token that a server gets which invites. */
  invited?: (token: string) => string;
}

/** A relay that does as it likes with what it passes on, in front of an honest one. */
export class EvilRelay {
  readonly url: string;
  deeds: Deeds = {};
  /** How long everything takes through it, each way, in milliseconds. */
  delayMs = 0;
  /** How much longer relayed data takes than what the relay itself says, to its receiver. */
  dataDelayMs = 0;
  /** Everything that it has seen of relayed data. */
  readonly seen: Uint8Array[] = [];
  readonly #sockets = new Map<From, { send: (frame: Uint8Array) => void; end: () => void }>();

  private constructor(url: string) {
    this.url = url;
  }

  static async start(t: TestContext, honest: string): Promise<EvilRelay> {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols: () => subprotocol });
    await once(server, 'listening');
    t.after(() => {
      for (const client of server.clients) client.terminate();
      server.close();
    });
    const relay = new EvilRelay(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on('connection', (socket) => relay.#serve(socket, honest.replace('http', 'ws') + connectPath));
    return relay;
  }

  /** Sends relayed data to a peer, as if it came from the other one. */
  inject(to: From, data: Uint8Array): void {
    this.#sockets.get(to)?.send(data);
  }

  /** A peer's socket ends without a word. */
  drop(peer: From): void {
    this.#sockets.get(peer)?.end();
  }

  #told(message: Buffer, to: From): string {
    const { claims, invited } = this.deeds;
    const frame = JSON.parse(message.toString()) as {
      type: string;
      token?: string;
      claims?: PeerClaims;
      peers?: { claims: PeerClaims }[];
    };
    if (invited && frame.type === 'invited') frame.token = invited(frame.token!);
    if (claims) for (const about of [frame, ...(frame.peers ?? [])]) if (about.claims) claims(about.claims, to);
    return JSON.stringify(frame);
  }

  #serve(socket: WebSocket, upstream: string): void {
    const relay = new WebSocket(upstream, subprotocol);
    const early: [Buffer, boolean][] = [];
    let from: From = 'client';
    let last = '';
    const pass = (message: Buffer, isBinary: boolean): void => {
      if (!isBinary) {
        const frame = JSON.parse(message.toString()) as {
          type: string;
          token?: string;
          signal?: { data: never };
          data: never;
        };
        if (frame.type === 'join') {
          from = decodeJwt<{ role: From }>(frame.token!).role;
          this.#sockets.set(from, {
            send: (data) => socket.send(encodeRelayed(last, data)),
            end: () => socket.terminate(),
          });
          if (frame.signal) this.deeds.signal?.(frame.signal.data, from);
        } else if (frame.type === 'signal') this.deeds.signal?.(frame.data, from);
        return relay.send(JSON.stringify(frame));
      }
      const { peer, payload } = decodeRelayed(message)!;
      last = peer;
      this.seen.push(payload.slice());
      for (const data of this.deeds.data?.(payload.slice(), from) ?? [payload]) relay.send(encodeRelayed(peer, data));
    };
    const later = (act: () => void, ms = this.delayMs): void => void (ms > 0 ? setTimeout(act, ms) : act());
    socket.on('message', (message: Buffer, isBinary) => {
      if (relay.readyState === WebSocket.OPEN)
        later(() => relay.readyState === WebSocket.OPEN && pass(message, isBinary));
      else early.push([message, isBinary]);
    });
    relay.on('open', () => early.splice(0).forEach(([message, isBinary]) => pass(message, isBinary)));
    relay.on('message', (message: Buffer, isBinary) =>
      later(
        () => socket.send(isBinary ? message : this.#told(message, from), { binary: isBinary }),
        this.delayMs + (isBinary ? this.dataDelayMs : 0),
      ),
    );
    relay.on('close', (code) => (code >= 4000 ? socket.close(code) : socket.terminate()));
    relay.on('error', () => socket.terminate());
    socket.on('close', () => relay.terminate());
  }
}
