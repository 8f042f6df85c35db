import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Server as TcpServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { TestContext } from 'node:test';
import type { Certificate } from './certificate.ts';

async function listening(t: TestContext, server: TcpServer) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** What people put in front of a relay for TLS. Resolves with its port on 127.0.0.1. */
export async function tlsFront(t: TestContext, { cert, key }: Certificate, relayPort: number): Promise<number> {
  const server = createTlsServer({ cert, key }, (near) => {
    const far = connect(relayPort, '127.0.0.1');
    near.on('error', () => far.destroy()); // whoever refuses the certificate hangs up
    far.on('error', () => near.destroy());
    near.on('close', () => far.destroy());
    near.pipe(far).pipe(near);
  });
  server.on('tlsClientError', () => {}); // the client says why
  return await listening(t, server);
}

/**
 * An HTTP proxy that passes on requests, but not as HTTP/1.1 upgrades. Resolves with its port on
 * 127.0.0.1.
 */
export async function httpFront(
  t: TestContext,
  relayPort: number,
  changed: { headers?: Record<string, string>; upgrade?: Parameters<Server['on']>[1] } = {},
): Promise<number> {
  const server = createServer((asked, response) => forward(asked, response, relayPort, changed.headers ?? {}));
  if (changed.upgrade) server.on('upgrade', changed.upgrade);
  t.after(() => server.closeAllConnections());
  return await listening(t, server);
}

function forward(
  { method, url, headers }: IncomingMessage,
  response: ServerResponse,
  port: number,
  changed: Record<string, string>,
): void {
  const { connection: _, upgrade: __, ...others } = headers;
  const passed = request({ host: '127.0.0.1', port, method, path: url, headers: others, agent: false }, (answer) => {
    response.writeHead(answer.statusCode ?? 502, { ...answer.headers, ...changed });
    answer.pipe(response);
  });
  passed.on('error', () => response.writeHead(502).end());
  passed.end();
}
