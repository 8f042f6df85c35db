import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TestContext } from 'node:test';

/**
 * An HTTP proxy as companies have one: it opens tunnels (CONNECT) and forwards plain requests. Each
 * name leads to 127.0.0.1, so that hosts can have names that only the proxy knows.
 */
export class ConnectProxy {
  /** `host:port` of each tunnel that was asked for, and URLs of plain requests. */
  readonly asked: string[] = [];
  /** What it answers a CONNECT with instead of opening a tunnel; 0: nothing at all. */
  refuse: number | undefined;
  readonly #server: Server = createServer((incoming, response) => this.#forward(incoming, response));
  readonly #credentials: string | undefined;
  readonly #sockets = new Set<Duplex>();

  private constructor(credentials: string | undefined) {
    this.#credentials = credentials;
    this.#server.on('connection', (socket: Socket) => this.#sockets.add(socket));
    this.#server.on('connect', (incoming: IncomingMessage, near: Duplex) => this.#tunnel(incoming, near));
  }

  /** @param credentials `user:password` that it asks for */
  static async start(t: TestContext, credentials?: string): Promise<ConnectProxy> {
    const proxy = new ConnectProxy(credentials);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    t.after(() => proxy.stop());
    return proxy;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Ends all tunnels, as a proxy does that is started anew. */
  drop(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }

  stop(): void {
    this.#server.close();
    this.drop();
  }

  #admits({ headers }: IncomingMessage): boolean {
    if (this.#credentials === undefined) return true;
    return headers['proxy-authorization'] === `Basic ${Buffer.from(this.#credentials).toString('base64')}`;
  }

  #tunnel(incoming: IncomingMessage, near: Duplex): void {
    const authority = incoming.url ?? '';
    this.asked.push(authority);
    near.on('error', () => near.destroy()); // its end is what counts
    const status = this.#admits(incoming) ? this.refuse : 407;
    if (status === 0) return;
    if (status !== undefined) {
      return void near.end(
        `HTTP/1.1 ${status} No\r\nProxy-Authenticate: Basic realm="proxy"\r\nContent-Length: 0\r\n\r\n`,
      );
    }
    const far = connect(Number(authority.split(':').at(-1)), '127.0.0.1');
    far.on('error', () => near.destroy());
    far.on('close', () => near.destroy());
    near.on('close', () => far.destroy());
    far.once('connect', () => {
      near.write('HTTP/1.1 200 Connection established\r\n\r\n');
      near.pipe(far).pipe(near);
    });
  }

  #forward(incoming: IncomingMessage, response: ServerResponse): void {
    const { url = '', method, headers } = incoming;
    this.asked.push(url);
    if (!this.#admits(incoming)) return void response.writeHead(407).end();
    const { port, pathname, search } = new URL(url);
    const { 'proxy-authorization': _, ...others } = headers;
    const sent = request(
      { host: '127.0.0.1', port, method, path: `${pathname}${search}`, headers: others },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    sent.on('error', () => response.writeHead(502).end());
    incoming.pipe(sent);
  }
}
