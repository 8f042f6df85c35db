import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { WebRTCClientTransport } from 'mcp-rendezvous';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { engines, type EngineName } from '../../test/support/engines.ts';
import { type RelayProcess, testSecret } from '../../test/support/relay.ts';
import { type Caller, WireCaller } from './caller.ts';
import { type SignalledWire, signalledWire } from './engines.ts';
import type { Signal } from './raw.ts';

const end = fileURLToPath(new URL('end.ts', import.meta.url));

/** Connects callers to a server that runs in a process of its own. */
export interface Dialer {
  readonly name: string;
  connect(): Promise<Caller>;
  stop(): Promise<void>;
}

/** Starts the server's process; resolves with what it says when it is ready. */
export async function startEnd(
  kind: string,
  engine: string,
  env: Record<string, string> = {},
): Promise<[ChildProcess, object]> {
  const child = spawn(process.execPath, ['--conditions=mcp-rendezvous-source', end, kind, engine], {
    env: { PATH: process.env['PATH'], NODE_ENV: 'production', ...env },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const [ready] = (await once(child, 'message')) as [object];
  return [child, ready];
}

/**
 * The raw channel of an engine, or simple-peer on it: their signals take the shortest way there is,
 * between the two processes.
 */
export async function signalled(kind: 'raw' | 'simple-peer', engine: EngineName): Promise<Dialer> {
  const [child] = await startEnd(kind, engine);
  const wires = new Map<number, SignalledWire>();
  child.on('message', ({ number, signal }: { number: number; signal: Signal }) => {
    void wires.get(number)?.signal(signal);
  });
  let number = 0;
  return {
    name: kind === 'raw' ? `raw channel, ${engine}` : `simple-peer, ${engine}`,
    async connect() {
      const wire = signalledWire(kind, engine, true);
      const own = ++number;
      wires.set(own, wire);
      wire.onsignal = (signal) => child.send({ number: own, signal });
      return WireCaller.connect(wire);
    },
    async stop() {
      child.kill('SIGKILL');
    },
  };
}

/** A server in a room of the relay, and tokens for its clients. */
export async function roomFor(room: string, engine: EngineName, relay: RelayProcess) {
  const tokenFor = (role: 'server' | 'client', subject: string): Promise<string> =>
    createRoomToken({ key: testSecret, room, role, subject, ttl: '1h' });
  const [child] = await startEnd('rendezvous', engine, { RELAY: relay.ws, TOKEN: await tokenFor('server', 'server') });
  let number = 0;
  return { token: () => tokenFor('client', `client-${number++}`), stop: () => void child.kill('SIGKILL') };
}

export async function rendezvous(engine: EngineName, relay: RelayProcess): Promise<Dialer> {
  const room = await roomFor(`bench-${engine}`, engine, relay);
  return {
    name: `mcp-rendezvous, ${engine}`,
    async connect() {
      // As with the raw channel: whoever connects knows its ICE servers before.
      const options = { relay: relay.ws, token: await room.token(), rtc: engines[engine], iceServers: [] };
      return WireCaller.connect(new WebRTCClientTransport(options));
    },
    async stop() {
      room.stop();
    },
  };
}

export const stdio = (): Dialer => ({
  name: 'stdio',
  connect: () =>
    WireCaller.connect(
      new StdioClientTransport({
        command: process.execPath,
        args: ['--conditions=mcp-rendezvous-source', end, 'stdio'],
        stderr: 'ignore',
      }),
    ),
  stop: async () => undefined,
});

export async function http(): Promise<Dialer> {
  const [child, ready] = await startEnd('http', '');
  const { port } = ready as { port: number };
  return {
    name: 'Streamable HTTP',
    connect: () => WireCaller.connect(new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${port}/mcp`))),
    async stop() {
      child.kill('SIGKILL');
    },
  };
}
