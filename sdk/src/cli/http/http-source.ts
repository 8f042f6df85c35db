import { connect } from 'node:net';
import { once } from 'node:events';
import { within } from '../async.ts';
import type { End } from '../bridge.ts';
import type { Log } from '../log.ts';
import type { ServerSource } from '../server-source.ts';
import { HttpUpstream, type UpstreamOptions } from './upstream.ts';

const probeMs = 5_000;

/** An HTTP server as what is shared: each client has a session of its own there. */
export class HttpSource implements ServerSource {
  readonly name: string;
  readonly #options: UpstreamOptions;
  readonly #log: Log;

  constructor(options: UpstreamOptions, log: Log) {
    // A query may hold a key.
    this.name = `${options.url.origin}${options.url.pathname}`;
    this.#options = options;
    this.#log = log;
  }

  /** Says so when nobody listens there. That is no failure: the server may start later, and is asked for each client. */
  async open(): Promise<void> {
    const { hostname, port, protocol } = this.#options.url;
    const host = hostname.replace(/^\[|\]$/g, '');
    const socket = connect(Number(port) || (protocol === 'https:' ? 443 : 80), host);
    const failed = (error: NodeJS.ErrnoException) =>
      this.#log.info(`nothing answers at ${this.name} yet (${error.code}); it is tried again when a client comes`);
    await within(
      probeMs,
      once(socket, 'connect').then(() => {}, failed),
    );
    socket.on('error', () => {}).destroy();
  }

  take(): End {
    return new HttpUpstream(this.#options);
  }

  refill(): void {}

  async close(): Promise<void> {}
}
