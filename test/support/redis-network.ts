import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { eventually } from './wait.ts';

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });

/**
 * A redis-server on a host of its own (a network namespace) with two cables to this one. Needs
 * Linux and root. The addresses are of the range for documentation (RFC 5737).
 */
export class NetworkedRedis {
  readonly #name = `redis-${process.pid}`;
  readonly #process: ChildProcess;

  private constructor() {
    try {
      ip('netns', 'add', this.#name);
    } catch (cause) {
      throw new Error(
        'The fault that cuts a cable makes a network namespace: run it as root on Linux, with iproute2.',
        { cause },
      );
    }
    for (const cable of [0, 1]) {
      const near = this.#cable(cable);
      ip('link', 'add', near, 'type', 'veth', 'peer', 'name', `far${cable}`, 'netns', this.#name);
      ip('address', 'add', `203.0.113.${4 * cable + 1}/30`, 'dev', near);
      ip('link', 'set', near, 'up');
      ip('-n', this.#name, 'address', 'add', `${this.#host(cable)}/30`, 'dev', `far${cable}`);
      ip('-n', this.#name, 'link', 'set', `far${cable}`, 'up');
    }
    const settings = ['--bind', '0.0.0.0', '--protected-mode', 'no', '--save', '', '--appendonly', 'no'];
    this.#process = spawn('ip', ['netns', 'exec', this.#name, 'redis-server', ...settings], {
      cwd: '/',
      stdio: 'ignore',
    });
  }

  static async start(): Promise<NetworkedRedis> {
    const redis = new NetworkedRedis();
    await eventually(() => Promise.all([0, 1].map((cable) => redis.#answers(cable))).then((all) => all.every(Boolean)));
    return redis;
  }

  /** Its address over one of the two cables. */
  url(cable: 0 | 1): string {
    return `redis://${this.#host(cable)}:6379`;
  }

  /** Pulls the plug at the other end of cable 0: packets go nowhere, and nobody is told. */
  cut(): void {
    ip('-n', this.#name, 'link', 'set', 'far0', 'down');
  }

  restore(): void {
    ip('-n', this.#name, 'link', 'set', 'far0', 'up');
  }

  async stop(): Promise<void> {
    this.#process.kill('SIGKILL'); // `ip netns exec` has become redis-server
    await once(this.#process, 'exit');
    for (const cable of [0, 1]) ip('link', 'del', this.#cable(cable));
    ip('netns', 'del', this.#name);
  }

  #cable(cable: number): string {
    return `rd${process.pid}-${cable}`;
  }

  #host(cable: number): string {
    return `203.0.113.${4 * cable + 2}`;
  }

  #answers(cable: number): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(6379, this.#host(cable));
      socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
      socket.on('connect', () => socket.destroy());
    });
  }
}
