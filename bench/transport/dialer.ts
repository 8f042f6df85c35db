import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { WebRTCClientTransport } from 'mcp-rendezvous';
import { createRoomToken } from 'mcp-rendezvous/token';
import { engines, type EngineName } from '../../test/support/engines.ts';
import { type RelayProcess, testSecret } from '../../test/support/relay.ts';
import { RawWire, type Signal } from './raw.ts';
import type { Wire } from './wire.ts';

const end = fileURLToPath(new URL('end.ts', import.meta.url));

/** Makes wires to a server that runs in a process of its own. */
export interface Dialer {
  readonly name: string;
  /** The one that it is measured against. */
  readonly against?: string;
  dial(): Promise<Wire>;
  stop(): Promise<void>;
}

/** Starts the server's process; resolves with what it says when it is ready. */
async function startEnd(
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

export async function raw(engine: string): Promise<Dialer> {
  const [child] = await startEnd('raw', engine);
  const wires = new Map<number, RawWire>();
  child.on('message', ({ number, signal }: { number: number; signal: Signal }) => {
    void wires.get(number)?.signal(signal);
  });
  let number = 0;
  return {
    name: `raw channel, ${engine}`,
    async dial() {
      const wire = new RawWire(engine, true);
      const own = ++number;
      wires.set(own, wire);
      wire.onsignal = (signal) => child.send({ number: own, signal });
      return wire;
    },
    async stop() {
      child.kill('SIGKILL');
    },
  };
}

export async function rendezvous(engine: EngineName, relay: RelayProcess): Promise<Dialer> {
  const room = `bench-${engine}`;
  const token = (role: 'server' | 'client', subject: string): Promise<string> =>
    createRoomToken({ key: testSecret, room, role, subject, ttl: '1h' });
  const [child] = await startEnd('rendezvous', engine, { RELAY: relay.ws, TOKEN: await token('server', 'server') });
  let number = 0;
  return {
    name: `mcp-rendezvous, ${engine}`,
    against: `raw channel, ${engine}`,
    async dial() {
      const subject = `client-${number++}`;
      return new WebRTCClientTransport({
        relay: relay.ws,
        token: await token('client', subject),
        rtc: engines[engine],
      });
    },
    async stop() {
      child.kill('SIGKILL');
    },
  };
}

export const stdio = (): Dialer => ({
  name: 'stdio',
  dial: async () =>
    new StdioClientTransport({
      command: process.execPath,
      args: ['--conditions=mcp-rendezvous-source', end, 'stdio'],
      stderr: 'ignore',
    }),
  stop: async () => undefined,
});

export async function http(): Promise<Dialer> {
  const [child, ready] = await startEnd('http', '');
  const { port } = ready as { port: number };
  return {
    name: 'Streamable HTTP',
    dial: async () => new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${port}/mcp`)),
    async stop() {
      child.kill('SIGKILL');
    },
  };
}
