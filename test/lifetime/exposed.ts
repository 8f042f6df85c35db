import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { fromSource, mainFile } from '../../sdk/test/cli/support/process.ts';
import { compileCache } from '../support/compile-cache.ts';
import type { RelayProcess } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { eventually, within } from '../support/wait.ts';

/** What a process of `expose` holds. */
export interface Held {
  /** Its own processes, those of MCP servers among them. */
  processes: number;
  descriptors: number;
  threads: number;
  /** What Node waits for, by kind: timers, sockets, pipes. */
  resources: Record<string, number>;
  residentMb: number;
}

const path = (file: string) => fileURLToPath(new URL(file, import.meta.url));
const settleMs = 60_000;
/** Longer than a session whose client was killed lasts. */
const stableMs = 8_000;
const pollMs = 200;

/** An MCP server that costs a millisecond to start: it answers each request with the same. */
const hello = '{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"sed","version":"1"}}';
const command = ['sed', '-u', '-n', '-E', `s/^.*"id":([0-9]+)[,}].*$/{"jsonrpc":"2.0","id":\\1,"result":${hello}}/p`];

/** A process of `expose`, and the clients that come to its room and go. */
export class Exposed {
  readonly #process: ChildProcess;
  readonly #relay: RelayProcess;
  readonly #room: Room;

  private constructor(process: ChildProcess, relay: RelayProcess, room: Room) {
    this.#process = process;
    this.#relay = relay;
    this.#room = room;
  }

  static async start(relay: RelayProcess): Promise<Exposed> {
    const room = new Room(relay, { ttl: 24 * 3600 });
    const child = spawn(
      process.execPath,
      [...fromSource, `--import=${path('./probe.ts')}`, mainFile, 'expose', '--', ...command],
      {
        env: { PATH: process.env['PATH'], ...compileCache, ...(await room.env('server')) },
        stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      },
    );
    let said = '';
    child.stderr?.on('data', (text: Buffer) => (said += said.includes('sharing') ? '' : text.toString()));
    await eventually(() => said.includes('sharing'), settleMs, `expose shares, and not: ${said}`);
    return new Exposed(child, relay, room);
  }

  /**
   * So many sessions; `killed` more are open when their process is killed.
   *
   * @returns how many attempts failed
   */
  async serve(sessions: number, killed: number): Promise<number> {
    const token = await this.#room.token('client');
    const args = [this.#relay.ws, token, String(sessions), String(killed)];
    const clients = spawn(process.execPath, [...fromSource, path('./clients.ts'), ...args], {
      env: { PATH: process.env['PATH'], ...compileCache },
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const exited = once(clients, 'exit');
    const told = once(clients, 'message').then(([failed]) => failed as number);
    const failed = await Promise.race([told, exited.then(() => undefined)]);
    clients.kill('SIGKILL');
    await exited;
    if (failed === undefined) throw new Error('the clients ended before their sessions did');
    return failed;
  }

  async held(): Promise<Held> {
    const { pid } = this.#process;
    const answer = once(this.#process, 'message');
    this.#process.send('held');
    const [kinds] = (await within(answer, 'an answer of the probe')) as [string[]];
    const resources: Record<string, number> = {};
    for (const kind of kinds.toSorted()) resources[kind] = (resources[kind] ?? 0) + 1;
    return {
      processes: childrenOf(pid!).length,
      descriptors: readdirSync(`/proc/${pid}/fd`).length,
      threads: readdirSync(`/proc/${pid}/task`).length,
      resources,
      residentMb: Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024,
    };
  }

  /** What it holds when that has stopped to become less. */
  async idle(): Promise<Held> {
    let least = await this.held();
    for (let same = 0; same < stableMs / pollMs; same++) {
      await sleep(pollMs);
      const now = await this.held();
      if (moreThan(now, least).length === 0) continue;
      least = now;
      same = 0;
    }
    return least;
  }

  /** What it holds as soon as that is no more than `before`; rejects when it stays more. */
  async heldNoMoreThan(before: Held): Promise<Held> {
    const end = performance.now() + settleMs;
    while (true) {
      const now = await this.held();
      const left = moreThan(before, now);
      if (left.length === 0) return now;
      if (performance.now() > end) throw new Error(`left of its sessions: ${left.join(', ')}`);
      await sleep(pollMs);
    }
  }

  async stop(): Promise<void> {
    const exited = once(this.#process, 'exit');
    if (this.#process.kill('SIGTERM')) await exited;
  }
}

/** What is more now, memory aside. */
function moreThan(before: Held, now: Held): string[] {
  const flat = ({ residentMb: _, resources, ...rest }: Held): Record<string, number> => ({ ...rest, ...resources });
  const limits = flat(before);
  return Object.entries(flat(now))
    .filter(([name, count]) => count > (limits[name] ?? 0))
    .map(([name, count]) => `${name} ${count} instead of ${limits[name] ?? 0}`);
}

function childrenOf(pid: number): string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return new RegExp(`^\\d+ \\(.*\\) \\S ${pid} `, 's').test(readFileSync(`/proc/${name}/stat`, 'utf8'));
    } catch {
      return false; // it has ended
    }
  });
}
