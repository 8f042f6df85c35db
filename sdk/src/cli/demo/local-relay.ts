import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CliError } from '../cli-error.ts';

/** What the demo uses of the package `mcp-rendezvous-server`, on which this one does not depend. */
interface RelayPackage {
  parseConfig: (env: Record<string, string>) => unknown;
  createLogger: (level: string) => unknown;
  createApp: (options: { config: unknown; log: unknown }) => Promise<RelayApp>;
}
interface RelayApp {
  readonly server: Server;
  listen(options: { host: string; port: number }): Promise<string>;
  close(): Promise<unknown>;
}

export interface LocalRelay {
  /** `ws://127.0.0.1:<port>` */
  url: string;
  close(): Promise<void>;
}

/**
 * Starts a relay in this process, on a free port that only this machine can reach.
 *
 * @param key what it verifies tokens with
 * @param name the package of the relay
 * @throws CliError `server_failed` if it is not installed
 */
export async function startLocalRelay(key: string, name = 'mcp-rendezvous-server'): Promise<LocalRelay> {
  const { parseConfig, createLogger, createApp } = await load(name);
  const config = parseConfig({ RELAY_SECRET: key, CONSOLE: 'off', LOG_LEVEL: 'silent' });
  const app = await createApp({ config, log: createLogger('silent') });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  return { url: `ws://127.0.0.1:${port}`, close: async () => void (await app.close()) };
}

async function load(name: string): Promise<RelayPackage> {
  try {
    return (await import(name)) as RelayPackage;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ERR_MODULE_NOT_FOUND' || !message.includes(`'${name}'`)) throw error;
    throw new CliError(
      'server_failed',
      `The demo starts a relay, which is a package of its own. Install ${name} where this program is installed, as the README says under "Install".`,
    );
  }
}
