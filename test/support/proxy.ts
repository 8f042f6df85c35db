import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/**
 * A TCP proxy, on 127.0.0.1 unless told otherwise: with several targets a load balancer, round
 * robin over those that answer; with one a wire that can be cut.
 */
export class TcpProxy {
  /** Ports of 127.0.0.1. */
  targets: number[];
  /** While it is set new connections go nowhere else. */
  pinned: number | undefined;
  readonly #server: Server;
  readonly #links = new Map<Socket, Socket>();
  readonly #waiting = new Set<Socket>();
  #next = 0;
  #cut = false;

  private constructor(targets: number[]) {
    this.targets = targets;
    this.#server = createServer({ noDelay: true }, (near) => this.#accept(near));
  }

  static async start(targets: number[], host = '127.0.0.1'): Promise<TcpProxy> {
    const proxy = new TcpProxy(targets);
    // Thousands may come at once.
    proxy.#server.listen({ host, port: 0, backlog: 4096 });
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get host(): string {
    return this.#address.address;
  }

  get port(): number {
    return this.#address.port;
  }

  /**
   * Stops forwarding without closing anything, as a network does whose packets are lost. New
   * connections hang.
   */
  cut(): void {
    this.#cut = true;
    for (const [near, far] of this.#links) {
      near.unpipe(far);
      far.unpipe(near);
    }
  }

  /** Goes on after `cut`; what was on its way arrives. */
  restore(): void {
    this.#cut = false;
    for (const [near, far] of this.#links) near.pipe(far).pipe(near);
    for (const near of this.#waiting) void this.#connect(near);
    this.#waiting.clear();
  }

  /** Closes every connection. New ones are served. */
  drop(): void {
    for (const near of this.#waiting) near.destroy();
    for (const near of this.#links.keys()) near.destroy();
  }

  async stop(): Promise<void> {
    this.drop();
    this.#server.close();
    await once(this.#server, 'close');
  }

  get #address(): AddressInfo {
    return this.#server.address() as AddressInfo;
  }

  #accept(near: Socket): void {
    near.on('error', () => near.destroy()); // its end is what is passed on
    if (this.#cut) this.#waiting.add(near);
    else void this.#connect(near);
  }

  async #connect(near: Socket): Promise<void> {
    const targets = this.pinned === undefined ? this.targets : [this.pinned];
    for (let attempt = 0; attempt < targets.length; attempt++) {
      const far = connect(targets[this.#next++ % targets.length] ?? 0, '127.0.0.1');
      far.setNoDelay(true);
      const connected = await once(far, 'connect').then(
        () => true,
        () => false, // the next one then
      );
      if (connected) return this.#join(near, far);
    }
    near.destroy();
  }

  #join(near: Socket, far: Socket): void {
    if (near.destroyed) return void far.destroy();
    this.#links.set(near, far);
    far.on('error', () => far.destroy());
    near.on('close', () => {
      this.#links.delete(near);
      far.destroy();
    });
    far.on('close', () => near.destroy());
    if (!this.#cut) near.pipe(far).pipe(near);
  }
}
