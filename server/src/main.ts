import { randomBytes } from 'node:crypto';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { pino } from 'pino';
import { createApp } from './http/app.ts';
import { type Config, ConfigError, parseConfig } from './config/config.ts';
import { createLogger } from './log.ts';

/** The process: reads the environment, listens, and stops on SIGTERM or SIGINT. */
async function main(): Promise<void> {
  const config = parseConfig(process.env);
  const development = config.keys.kind === 'development';
  const log = createLogger(config.logLevel, pino.destination({ dest: development ? 2 : 1, sync: true }));
  for (const warning of config.warnings) log.warn(warning);
  const app = await createApp({ config, log });
  const listenTextResolver = (address: string): string => `listening at ${address}`;
  const address = await app.listen({ host: config.host, port: config.port, listenTextResolver });
  if (development) await printDevelopmentLines(config, address);

  let stopping = false;
  const stop = (signal: NodeJS.Signals): void => {
    log.info({ signal }, stopping ? 'stopping at once' : 'stopping');
    if (stopping) process.exit(1);
    stopping = true;
    app
      .drain()
      .then(() => app.close())
      .then(
        () => process.exit(0),
        (error: unknown) => {
          log.error({ err: error }, 'did not stop cleanly');
          process.exit(1);
        },
      );
  };
  process.on('SIGTERM', stop).on('SIGINT', stop);
}

/** Without a configured key: tokens for one random room, ready to paste. */
async function printDevelopmentLines({ keys }: Config, address: string): Promise<void> {
  if (keys.kind === 'issuers') return;
  const relay = address.replace(/^http/, 'ws');
  const room = `room-${randomBytes(6).toString('base64url')}`;
  const token = (role: 'server' | 'client') =>
    createRoomToken({ key: keys.secrets[0], room, role, subject: `dev-${role}`, ttl: '24h' });
  process.stdout.write(`mcp-rendezvous relay: ${address}

Open it in a browser to see it work.

No key is configured, so this relay made one for as long as it runs. These tokens are for one room and last 24 hours.

Share an MCP server:
MCP_RENDEZVOUS_TOKEN=${await token('server')} npx mcp-rendezvous expose --relay ${relay} -- npx -y @modelcontextprotocol/server-everything

Reach it from elsewhere:
MCP_RENDEZVOUS_TOKEN=${await token('client')} npx mcp-rendezvous connect --relay ${relay}
`);
}

main().catch((error: unknown) => {
  const { code, port } = error as { code?: string; port?: number };
  if (error instanceof ConfigError) console.error(error.message);
  else if (code === 'EADDRINUSE') console.error(`Port ${port} is in use. Stop what listens there, or set RELAY_PORT.`);
  else console.error(error);
  process.exit(1);
});
