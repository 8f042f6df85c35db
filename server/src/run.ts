import { randomBytes, randomUUID } from 'node:crypto';
import { createInvitation, createSecret, deriveSecret } from 'mcp-rendezvous-protocol';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { createApp } from './http/app.ts';
import { type Config, ConfigError, parseConfig } from './config/config.ts';
import { createLogger } from './log.ts';
import { LogDestination } from './log-destination.ts';

/**
 * Reads the environment and starts the relay. Resolves when it listens, with what has to be done
 * before the process ends.
 */
export async function run(): Promise<(signal: NodeJS.Signals) => Promise<void>> {
  const config = parseConfig(process.env);
  const development = config.keys.kind === 'development';
  const log = createLogger(config.logLevel, new LogDestination(development ? 2 : 1));
  for (const warning of config.warnings) log.warn(warning);
  const app = await createApp({ config, log });
  const listenTextResolver = (address: string): string => `listening at ${address}`;
  const address = await app.listen({ host: config.host, port: config.port, listenTextResolver });
  if (development) await printDevelopmentLines(config, address);

  return async (signal) => {
    log.info({ signal }, 'stopping');
    try {
      await app.drain();
      await app.close();
    } catch (error) {
      log.error({ err: error }, 'the relay did not stop cleanly');
      throw error;
    }
  };
}

/** Without a configured key: lines to paste, of random rooms. */
async function printDevelopmentLines({ keys }: Config, address: string): Promise<void> {
  if (keys.kind === 'issuers') return;
  const [key] = keys.secrets;
  const relay = address.replace(/^http/, 'ws');
  const room = randomRoom();
  const token = (role: 'server' | 'client') => createRoomToken({ key, room, role, subject: `dev-${role}`, ttl: '24h' });
  const { server, client } = await developmentInvitations(key, relay);
  // What npm started is not installed as a command of the system's.
  const command = process.env['npm_command'] === undefined ? 'mcp-rendezvous' : 'npx mcp-rendezvous';
  // The relay must not stop when its standard output closes.
  process.stdout.on('error', () => {});
  process.stdout.write(`mcp-rendezvous relay: ${address}

Open this URL in a browser to try it.

No key is configured, so the relay created a temporary one. The lines below work until it stops, for 24 hours at most.

Share an MCP server:
${command} expose ${server} -- npx -y @modelcontextprotocol/server-everything

Use it as a stdio MCP server, from another terminal or an MCP client on this machine:
${command} connect ${client}

In a program instead, use these tokens with the relay ${relay}:
server: ${await token('server')}
client: ${await token('client')}
`);
}

/** For the two ends of a room, of which the client's counts as made by the server's. */
async function developmentInvitations(key: string, relay: string): Promise<{ server: string; client: string }> {
  const [room, root, inviter, id] = [randomRoom(), createSecret(), randomUUID(), randomUUID()];
  const shared = { key, room, ttl: '24h' };
  const [server, client] = await Promise.all([
    createRoomToken({ ...shared, role: 'server', subject: 'dev-server', id: inviter, invite: 86_400 }),
    createRoomToken({ ...shared, role: 'client', subject: 'dev-client', id, by: inviter }),
  ]);
  return {
    server: createInvitation({ relay, token: server, secret: root }),
    client: createInvitation({ relay, token: client, secret: await deriveSecret(root, id) }),
  };
}

const randomRoom = (): string => `room-${randomBytes(6).toString('base64url')}`;

/** Ends the process with what the operator has to know about why the relay cannot start. */
export function fail(error: unknown): never {
  const { code, port, syscall } = error as NodeJS.ErrnoException & { port?: number };
  if (error instanceof ConfigError) console.error(error.message);
  else if (code === 'EADDRINUSE')
    console.error(`Port ${port} is already in use. Stop the program that uses it, or set RELAY_PORT.`);
  else if (syscall === 'listen' || syscall === 'getaddrinfo') {
    console.error(`The relay cannot listen at that address (${code}). Correct RELAY_HOST, or use another RELAY_PORT.`);
  } else console.error(error);
  process.exit(1);
}
