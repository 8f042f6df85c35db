import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { freePort, takesConnections } from '../../test/support/port.ts';
import { RelayProcess, testSecret } from '../../test/support/relay.ts';
import { eventually } from '../../test/support/wait.ts';
import { residentMb } from '../lib/resident-memory.ts';
import { type Command, start, StdioClient, stop } from './client.ts';

/** A way to an MCP server over stdio: all of it but the process that the client starts. */
export interface Contender {
  readonly name: string;
  /** What the client starts. */
  readonly near: Command;
  /** The process at the server's side; undefined: the client starts the server itself. */
  readonly farPid?: number | undefined;
  /** Opens a session that is in the state in which it stays. */
  open(): Promise<StdioClient>;
  stop(): Promise<void>;
}

const root = join(import.meta.dirname, '../..');
const modules = join(root, 'node_modules');
const ready = 60_000;

/** Everything that the benchmark makes, removed when it ends. */
const scratch = mkdtempSync(join(tmpdir(), 'bench-bridge-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));

const serverFile = join(scratch, 'server.mjs');
writeFileSync(serverFile, stripTypeScriptTypes(readFileSync(join(import.meta.dirname, 'server.ts'), 'utf8')));

async function open(near: Command): Promise<StdioClient> {
  const client = new StdioClient(near);
  await client.begin();
  return client;
}

/** The client starts the server, as it does on one machine. */
export function stdio(): Contender {
  const near = { args: [serverFile] };
  return { name: 'stdio', near, open: () => open(near), stop: async () => {} };
}

/** The built command line, `expose` at one end and `connect` at the other one. */
export async function rendezvous(name: string, packageRoot: string): Promise<Contender> {
  const relay = await RelayProcess.start();
  const bin = join(packageRoot, 'bin/mcp-rendezvous.js');
  const env = async (role: 'server' | 'client') => ({
    MCP_RENDEZVOUS_RELAY: relay.url,
    MCP_RENDEZVOUS_TOKEN: await createRoomToken({ key: testSecret, room: 'bench', role, subject: role, ttl: 3600 }),
  });
  const far = start({ args: [bin, 'expose', '--', process.execPath, serverFile], env: await env('server') });
  far.stdout.resume();
  let said = '';
  far.stderr.on('data', (text: Buffer) => (said += text.toString()));
  await eventually(() => said.includes('sharing '), ready, `${name} shares`);
  const near = { args: [bin, 'connect'], env: await env('client') };
  return {
    name,
    near,
    farPid: far.pid,
    async open() {
      const client = await open({ ...near, args: [...near.args, '--debug'] });
      // A session begins on the relayed path, whose rate the relay limits.
      await eventually(() => client.stderr.includes('path_changed path=direct'), ready, `${name} has a direct path`);
      return client;
    },
    async stop() {
      await stop(far);
      await relay.stop();
    },
  };
}

/** The package as it is where node-datachannel is not installed: with werift alone. */
export function withoutBinaries(): string {
  const folder = join(scratch, 'node_modules');
  mkdirSync(folder);
  for (const name of readdirSync(modules)) {
    if (['mcp-rendezvous', 'node-datachannel', '.bin', '.package-lock.json'].includes(name)) continue;
    symlinkSync(join(modules, name), join(folder, name));
  }
  const own = join(folder, 'mcp-rendezvous');
  for (const part of ['bin', 'dist', 'package.json']) {
    cpSync(join(root, 'sdk', part), join(own, part), { recursive: true });
  }
  return own;
}

export const withBinaries = (): string => join(root, 'sdk');

/** The two packages that bridge stdio over the network by Streamable HTTP. */
export async function supergateway(): Promise<Contender> {
  const port = await freePort();
  const script = (name: string, file: string) => join(modules, name, file);
  const server = `${process.execPath} ${serverFile}`;
  const far = start({
    args: [
      script('supergateway', 'dist/index.js'),
      '--stdio',
      server,
      '--outputTransport',
      'streamableHttp',
      '--stateful',
      '--port',
      String(port),
      '--logLevel',
      'none',
    ],
  });
  far.stdout.resume();
  far.stderr.resume();
  await eventually(() => takesConnections(port), ready, 'supergateway listens');
  const near = {
    args: [
      script('mcp-remote', 'dist/proxy.js'),
      `http://127.0.0.1:${port}/mcp`,
      '--transport',
      'http-only',
      '--allow-http',
      '--silent',
    ],
    env: { MCP_REMOTE_CONFIG_DIR: join(scratch, 'mcp-remote') },
  };
  return {
    name: 'supergateway + mcp-remote',
    near,
    farPid: far.pid,
    open: () => open(near),
    stop: () => stop(far),
  };
}

export const residentOf = (contender: Contender, client: StdioClient): { near: number; far: number } => ({
  near: residentMb(client.process.pid),
  far: contender.farPid === undefined ? NaN : residentMb(contender.farPid),
});
