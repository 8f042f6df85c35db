import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createRoomToken } from 'mcp-rendezvous/token';

/**
 * A backend that hands its users room tokens: `POST /token/server` for their desktop, `POST
 * /token/client` for their agent.
 */
const { RELAY_SECRET: key = '', SESSIONS: sessions = '{}', PORT: port = '3000' } = process.env;
if (key === '') {
  console.error("Set RELAY_SECRET to the relay's key.");
  process.exit(1);
}

// Stands for the sessions of your application: a JSON object from a bearer token to a user.
const users = new Map(Object.entries(JSON.parse(sessions) as Record<string, string>));

async function answer({ method, url, headers }: IncomingMessage): Promise<[status: number, text: string]> {
  const role = url?.split('/token/')[1];
  if (method !== 'POST' || (role !== 'server' && role !== 'client')) {
    return [404, 'POST /token/server or /token/client'];
  }
  const user = users.get(headers.authorization?.replace(/^Bearer /, '') ?? '');
  if (user === undefined) return [401, 'sign in first'];
  // The backend names the room, not the request: nobody gets a token for the room of somebody else.
  const options = { key, room: `user-${user}`, role, subject: `${user}-${role}`, ttl: '15m' } as const;
  return [200, await createRoomToken(options)];
}

async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [status, text] = await answer(request).catch((error: unknown) => {
    console.error(error);
    return [500, 'see the log'] as const;
  });
  response.writeHead(status, { 'content-type': 'text/plain', 'cache-control': 'no-store' });
  response.end(text);
}

const server = createServer((request, response) => void respond(request, response));
server.listen(Number(port), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
