import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { decodeJwt } from 'jose';
import { connectPath, type Role, subprotocol } from 'mcp-rendezvous-protocol';
import { WebSocket, WebSocketServer } from 'ws';

/** Where the way to the relay ends: with the frame of this number, both ways and of both peers. */
export interface Cut {
  frame: number;
  /** The frame still arrives. */
  delivered: boolean;
  /** Whose socket is lost; `restart`: both are, and the relay that comes back knows nothing. */
  what: Role | 'both' | 'restart';
  /** How many connections nobody accepts afterwards. */
  refused: number;
}

interface Line {
  near: WebSocket;
  far: WebSocket;
  role?: Role;
}

/** The wire between two peers and their relay, which is cut once, with a certain frame. */
export class CuttingWire {
  /** How many frames have passed since `begin()`, the lost one included. */
  frames = Number.NEGATIVE_INFINITY;
  readonly #server: WebSocketServer;
  readonly #lines = new Set<Line>();
  #relay: string;
  readonly #next: string;
  readonly #cut: Cut;
  #refused = 0;

  private constructor(server: WebSocketServer, relays: [before: string, after: string], cut: Cut) {
    this.#server = server;
    [this.#relay, this.#next] = relays;
    this.#cut = cut;
    server.on('connection', (near) => this.#accept(near));
  }

  /** @param relays the addresses of the relay, and of the one that a restart leads to */
  static async start(relays: [before: string, after: string], cut: Cut): Promise<CuttingWire> {
    const server: WebSocketServer = new WebSocketServer({
      host: '127.0.0.1',
      port: 0,
      handleProtocols: () => subprotocol,
      verifyClient: () => wire.#refused-- <= 0,
    });
    const wire = new CuttingWire(server, relays, cut);
    await once(server, 'listening');
    return wire;
  }

  get url(): string {
    return `ws://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /**
   * Frames count from now on.
   *
   * @param lost what is lost at once, for which the peers come back
   */
  begin(lost?: Cut['what']): void {
    this.frames = 0;
    if (lost) this.#lose(lost);
  }

  stop(): void {
    for (const { near, far } of this.#lines) {
      near.terminate();
      far.terminate();
    }
    this.#server.close();
  }

  #accept(near: WebSocket): void {
    const far = new WebSocket(this.#relay + connectPath, subprotocol);
    const line: Line = { near, far };
    this.#lines.add(line);
    const early: [Buffer, boolean][] = [];
    near.on('message', (data: Buffer, isBinary) => {
      if (!isBinary) line.role ??= roleIn(data);
      if (far.readyState === WebSocket.OPEN) this.#pass(line, far, data, isBinary);
      else early.push([data, isBinary]);
    });
    far.on('open', () => {
      for (const [data, isBinary] of early) this.#pass(line, far, data, isBinary);
    });
    far.on('message', (data: Buffer, isBinary) => this.#pass(line, near, data, isBinary));
    near.on('error', () => far.terminate()); // its end is what is passed on
    far.on('error', () => near.terminate());
    near.on('close', () => {
      this.#lines.delete(line);
      far.terminate();
    });
    far.on('close', (code, reason) => (code >= 4000 ? near.close(code, reason) : near.terminate()));
  }

  #pass(line: Line, to: WebSocket, data: Buffer, binary: boolean): void {
    if (!this.#lines.has(line)) return;
    const { frame, delivered } = this.#cut;
    const last = ++this.frames === frame;
    // On a line that stays nothing is lost.
    if (!last || delivered || !concerns(this.#cut.what, line)) to.send(data, { binary }, () => last && this.#end());
    else this.#end();
  }

  #end(): void {
    this.#refused = this.#cut.refused;
    this.#lose(this.#cut.what);
  }

  #lose(what: Cut['what']): void {
    if (what === 'restart') this.#relay = this.#next;
    for (const line of this.#lines) {
      if (!concerns(what, line)) continue;
      this.#lines.delete(line);
      line.near.terminate();
      line.far.terminate();
    }
  }
}

const concerns = (what: Cut['what'], { role }: Line): boolean => what === 'restart' || what === 'both' || role === what;

/** The role in the token of a `join`, the first frame of a socket. */
function roleIn(data: Buffer): Role {
  const { token } = JSON.parse(data.toString()) as { token: string };
  return decodeJwt<{ role: Role }>(token).role;
}
