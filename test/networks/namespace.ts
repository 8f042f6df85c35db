import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';

/** Runs a program to its end. Rejects with what it said when it fails. */
export async function run([command, ...args]: readonly [string, ...string[]], input = ''): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const child = execFile(command, args, (error: Error | null) => (error ? reject(error) : resolve()));
    child.stdin?.on('error', () => {}); // it ended without reading: its exit code says why
    child.stdin?.end(input);
  });
}

/** A namespace begins without IPv6, whose addresses outlast those that are taken away. */
const prepare = [
  'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6',
  'echo 1 > /proc/sys/net/ipv4/ip_forward',
  'ip link set lo up',
].join(' && ');

/** Makes the network namespace of this process ready. */
export const prepareOwnNamespace = (): Promise<void> => run(['sh', '-c', prepare]);

/**
 * A network namespace that has no name and is there for as long as a process that waits for the end
 * of its input, and others in it. Nothing of it is left when this process ends, however it ends.
 */
export class Namespace {
  readonly #holder: ChildProcess;

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  static async create(): Promise<Namespace> {
    const holder = spawn('unshare', ['--net', 'sh', '-c', `${prepare} && echo ready && exec cat`], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const ended = once(holder, 'exit').then(([code]) => {
      throw new Error(`There is no network namespace: exit code ${String(code)}. Run it as root on Linux.`);
    });
    ended.catch(() => undefined); // it ends some day
    await Promise.race([once(holder.stdout, 'data'), ended]);
    return new Namespace(holder);
  }

  get pid(): number {
    return this.#holder.pid ?? 0;
  }

  /** What has to stand before a command so that it runs there. */
  get enter(): [string, ...string[]] {
    return ['nsenter', '--target', String(this.pid), '--net'];
  }

  /** @param commands arguments of `ip` */
  async ip(...commands: string[]): Promise<void> {
    await run([...this.enter, 'ip', '-batch', '-'], commands.join('\n'));
  }

  async nft(rules: string): Promise<void> {
    await run([...this.enter, 'nft', '-f', '-'], rules);
  }

  async remove(): Promise<void> {
    if (this.#holder.exitCode !== null || this.#holder.signalCode !== null) return;
    this.#holder.kill('SIGKILL');
    await once(this.#holder, 'exit');
  }
}
