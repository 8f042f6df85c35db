import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CliError, usage } from '../cli-error.ts';

/** Which rooms `expose` serves, for supervisors: an endpoint that answers 200 if it serves all. */
export class Health {
  readonly #rooms = new Map<string, boolean>();
  #server: Server | undefined;

  /** @param joined whether clients can reach the room's server now */
  set(room: string, joined: boolean): void {
    this.#rooms.set(room, joined);
  }

  get healthy(): boolean {
    return this.#rooms.size > 0 && [...this.#rooms.values()].every(Boolean);
  }

  /**
   * Serves `GET /healthz`. Resolves with its URL.
   *
   * @param address the value of `--health`, such as `127.0.0.1:9000`; port 0 picks a free port
   * @throws CliError `bad_option`
   */
  async listen(address: string): Promise<string> {
    const [, host = '127.0.0.1', port] = /^(?:(.*):)?(\d{1,5})$/.exec(address) ?? [];
    if (port === undefined || Number(port) > 65_535) throw usage('--health must be an address such as 127.0.0.1:9000.');
    const { createServer } = await import('node:http');
    const server = createServer(({ method, url }, response) => {
      if (url !== '/healthz' || (method !== 'GET' && method !== 'HEAD')) return response.writeHead(404).end();
      const { healthy } = this;
      response.writeHead(healthy ? 200 : 503, { 'content-type': 'application/json' });
      return response.end(
        JSON.stringify({ status: healthy ? 'ok' : 'unavailable', rooms: Object.fromEntries(this.#rooms) }),
      );
    });
    try {
      server.listen(Number(port), host.replace(/^\[|\]$/g, ''));
      await once(server, 'listening');
    } catch (error) {
      const { code = 'unknown reason' } = error as NodeJS.ErrnoException;
      throw new CliError('bad_option', `--health: cannot listen on ${address} (${code}).`);
    }
    this.#server = server.unref();
    return `http://${host}:${(server.address() as AddressInfo).port}/healthz`;
  }

  close(): void {
    this.#server?.close();
    this.#server?.closeAllConnections();
  }
}
