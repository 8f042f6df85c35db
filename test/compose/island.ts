import { execFile, spawn } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const script = fileURLToPath(new URL('peer.ts', import.meta.url));

/**
 * A network namespace from which one address can be reached, this machine's `address`, and nothing
 * else.
 */
export class Island {
  readonly name: string;
  readonly #hosts: string;

  private constructor(name: string) {
    this.name = name;
    this.#hosts = `/etc/netns/${name}`;
  }

  /**
   * @param network three bytes of an own network, such as `203.0.113`
   * @param hosts of /etc/hosts in there
   */
  static async create(name: string, network: string, address: string, hosts: string): Promise<Island> {
    const island = new Island(name);
    await island.remove();
    const outside = `${name}-out`;
    await mkdir(island.#hosts, { recursive: true });
    await writeFile(`${island.#hosts}/hosts`, `127.0.0.1 localhost\n${hosts}\n`);
    await run('ip', ['netns', 'add', name]);
    await run('ip', ['link', 'add', outside, 'type', 'veth', 'peer', 'name', 'net', 'netns', name]);
    await run('ip', ['address', 'add', `${network}.1/24`, 'dev', outside]);
    await run('ip', ['link', 'set', outside, 'up']);
    await island.run('ip', 'link', 'set', 'lo', 'up');
    await island.run('ip', 'address', 'add', `${network}.2/24`, 'dev', 'net');
    await island.run('ip', 'link', 'set', 'net', 'up');
    await island.run('ip', 'route', 'add', `${address}/32`, 'via', `${network}.1`);
    return island;
  }

  async run(command: string, ...args: string[]): Promise<string> {
    return (await run('ip', ['netns', 'exec', this.name, command, ...args])).stdout;
  }

  /** Starts a peer in there; see peer.ts. */
  peer(env: Record<string, string>) {
    const node = [process.execPath, '--conditions=mcp-rendezvous-source', script];
    const child = spawn('ip', ['netns', 'exec', this.name, ...node], {
      env: { PATH: process.env['PATH'], ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    child.stdout.setEncoding('utf8');
    return child;
  }

  async remove(): Promise<void> {
    await run('ip', ['netns', 'delete', this.name]).catch(() => {}); // it may not be there
    await rm(this.#hosts, { recursive: true, force: true });
  }
}
