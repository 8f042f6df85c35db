import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { execPath } from 'node:process';
import { PassThrough } from 'node:stream';
import { StdioClientTransport as StdioClientV2 } from '@modelcontextprotocol/client/stdio';
import { StdioClientTransport as StdioClientV1 } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StdioServerTransport as StdioServerV1 } from '@modelcontextprotocol/sdk/server/stdio.js';
import { StdioServerTransport as StdioServerV2 } from '@modelcontextprotocol/server/stdio';
import {
  type Engine,
  MemorySignaling,
  type RtcDataChannel,
  type RtcPeerConnection,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import type { ConformanceOptions, TransportPair } from 'mcp-rendezvous/testing';
import { weriftEngine } from 'mcp-rendezvous/werift';
import { Operator } from '../../server/test/support/operator.ts';
import { testToken } from '../../server/test/support/peer.ts';
import type { RelayProcess } from '../support/relay.ts';
import type { TransportName } from './results.ts';
import { inMemoryPair, type SdkVersion } from './sdks.ts';

export const adminToken = 'an-admin-token-that-is-long-enough';

interface Made extends TransportPair {
  fail?: () => unknown;
  isReleased?: () => boolean;
}

/** What the tests do with a pair is the pair's own. */
export const options: ConformanceOptions = {
  fail: (pair) => ((pair as Made).fail ?? (() => pair.server.close()))(),
  isReleased: (pair) => (pair as Made).isReleased?.() ?? true,
};

/** New pairs of a transport; they need the relay or not. */
export const makers: Record<TransportName, (sdk: SdkVersion, relay: RelayProcess) => Made | Promise<Made>> = {
  'in memory': (sdk) => inMemoryPair(sdk),
  stdio: stdioPair,
  'mcp-rendezvous, own signaling': () => {
    const [client, server] = MemorySignaling.pair();
    const rtc = new WatchedEngine();
    return {
      client: new WebRTCClientTransport({ signaling: client, rtc: rtc.engine }),
      server: new WebRTCServerTransport({ signaling: server, rtc: rtc.engine }),
      // A DATA frame that is too short: malformed framing, as the draft has it.
      fail: () => rtc.channels[0]?.send(Uint8Array.of(3)),
      isReleased: () => rtc.isReleased,
    };
  },
  'mcp-rendezvous, relay': async (_, relay) => {
    const room = crypto.randomUUID();
    const rtc = new WatchedEngine();
    const more = { relay: relay.ws, rtc: rtc.engine };
    const client = new WebRTCClientTransport({ ...more, token: await testToken({ room, role: 'client' }) });
    const server = new WebRTCServerTransport({ ...more, token: await testToken({ room, role: 'server' }) });
    return {
      client,
      server,
      // The operator removes the server.
      fail: () => new Operator(relay.url, adminToken).ask('DELETE', `/v1/rooms/${room}/peers/${client.peer?.id}`),
      isReleased: () => rtc.isReleased,
    };
  },
};

/** A child process that passes on what it reads over a socket to the server's end, and back. */
const pipe = (port: number): string =>
  `const socket = require('node:net').connect(${port}, '127.0.0.1');
   process.stdin.pipe(socket);
   socket.pipe(process.stdout);`;

/**
 * Of the SDK's own class itself the client starts another process for its version probe, for which
 * this pair has no server.
 */
class ProbedInPlace extends StdioClientV2 {}

async function stdioPair(sdk: SdkVersion): Promise<Made> {
  const [stdin, stdout] = [new PassThrough(), new PassThrough()];
  const sockets: Socket[] = [];
  const listener = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => {}); // the process is gone
    socket.pipe(stdin);
    stdout.pipe(socket);
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as { port: number };
  const child = { command: execPath, args: ['-e', pipe(port)] };
  const client = sdk === 'v1' ? new StdioClientV1(child) : new ProbedInPlace(child);
  const server = sdk === 'v1' ? new StdioServerV1(stdin, stdout) : new StdioServerV2(stdin, stdout);
  // A server that has closed its transport exits.
  const close = server.close.bind(server);
  server.close = async () => {
    await close();
    for (const socket of sockets) socket.end();
  };
  return {
    client,
    server,
    fail: () => process.kill(client.pid!, 'SIGKILL'),
    isReleased: () => client.pid === null,
    release: () => {
      for (const socket of sockets) socket.destroy();
      listener.close();
    },
  };
}

/** werift, with what it made. */
class WatchedEngine {
  readonly channels: RtcDataChannel[] = [];
  readonly #connections: RtcPeerConnection[] = [];
  readonly engine: Engine = {
    ...weriftEngine,
    createPeerConnection: (configuration) => {
      const connection = weriftEngine.createPeerConnection(configuration);
      const createDataChannel = connection.createDataChannel.bind(connection);
      connection.createDataChannel = (...args) => {
        const channel = createDataChannel(...args);
        this.channels.push(channel);
        return channel;
      };
      this.#connections.push(connection);
      return connection;
    },
  };

  get isReleased(): boolean {
    return this.#connections.every(({ connectionState }) => connectionState === 'closed');
  }
}
