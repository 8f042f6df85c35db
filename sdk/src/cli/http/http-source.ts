import { connect } from 'node:net';
import { once } from 'node:events';
import { proxyFor } from 'mcp-rendezvous-protocol/proxy';
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

  /**
   * Logs if the server, or the proxy in between, is unreachable. This is not an error, because it
   * may start later and is contacted for each client.
   */
  async open(): Promise<void> {
    const proxy = proxyFor(this.#options.url);
    const { hostname, port, protocol } = proxy?.url ?? this.#options.url;
    const host = hostname.replace(/^\[|\]$/g, '');
    const socket = connect(Number(port) || (protocol === 'https:' ? 443 : 80), host);
    const failed = (error: NodeJS.ErrnoException) =>
      this.#log.info(
        `${proxy ? `the proxy ${proxy.name} for ` : ''}${this.name} does not answer yet (${error.code}); ` +
          'retrying when a client connects',
      );
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
