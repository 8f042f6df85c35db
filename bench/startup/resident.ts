import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { RelayProcess, testSecret } from '../../test/support/relay.ts';
import { within } from '../../test/support/wait.ts';
import type { Line } from '../lib/report.ts';
import { residentMb } from '../lib/resident-memory.ts';

/** What a process has resident, in MB, as Linux counts it. */
export interface Resident {
  name: string;
  mb: number;
}

type Program = ChildProcessByStdio<Writable, Readable, null>;

const root = fileURLToPath(new URL('../..', import.meta.url));
/** A bridge that waits gives back what it does not need, within two looks of five seconds. */
const settleMs = 15_000;

/**
 * `expose` and `connect` as they are built, on the default engine, with a session: behind its
 * opening, and after calls.
 */
export async function measureResident(calls: number): Promise<Resident[]> {
  const relay = await RelayProcess.start();
  const programs: Program[] = [];
  const begin = async (role: 'server' | 'client', args: string[]): Promise<Program> => {
    const token = await createRoomToken({ key: testSecret, room: 'resident', role, subject: role, ttl: 600 });
    const env = { ...process.env, MCP_RENDEZVOUS_RELAY: relay.url, MCP_RENDEZVOUS_TOKEN: token };
    const stdio = ['pipe', 'pipe', 'ignore'] as const;
    const program = spawn(process.execPath, ['sdk/bin/mcp-rendezvous.js', ...args], {
      cwd: root,
      env,
      stdio: [...stdio],
    });
    programs.push(program);
    return program;
  };
  try {
    const server = fileURLToPath(new URL('../../sdk/test/cli/support/server.ts', import.meta.url));
    const expose = await begin('server', ['expose', '--', process.execPath, server]);
    const connect = await begin('client', ['connect']);
    const lines = createInterface({ input: connect.stdout })[Symbol.asyncIterator]();
    const ask = async (method: string, params: object): Promise<void> => {
      connect.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })}\n`);
      await within(lines.next(), `an answer to ${method}`, 60_000);
    };
    await ask('initialize', {});
    await sleep(settleMs);
    const found = [resident('connect, with a session', connect), resident('expose, with a session', expose)];
    for (let n = 0; n < calls; n++) await ask('echo', { n });
    await sleep(settleMs);
    return [
      ...found,
      resident(`connect, after ${calls} calls`, connect),
      resident(`expose, after ${calls} calls`, expose),
    ];
  } finally {
    for (const program of programs) {
      const ended = once(program, 'exit');
      if (program.exitCode === null && program.kill()) await ended;
    }
    await relay.stop();
  }
}

const resident = (name: string, { pid }: Program): Resident => ({ name, mb: residentMb(pid) });

export const residentLines = (found: readonly Resident[]): Line[] =>
  found.map(({ name, mb }) => ({
    what: `resident memory of ${name}, MB`,
    measured: mb,
    ...(name.startsWith('connect') && { atMost: 90 }),
  }));
