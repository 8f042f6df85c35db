import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { eventually } from './wait.ts';

/** A network namespace with an address and a home folder of its own: a machine, and its user. */
export class Machine {
  readonly address: string;
  readonly home: string;
  readonly #holder: ChildProcess;

  constructor(address: string, holder: ChildProcess) {
    this.address = address;
    this.#holder = holder;
    this.home = mkdtempSync(join(tmpdir(), 'machine-'));
  }

  get pid(): number {
    return this.#holder.pid ?? 0;
  }

  /** A command on this machine, as a program and its arguments. */
  command(program: string, ...args: string[]): [program: string, ...args: string[]] {
    return ['nsenter', '--target', String(this.pid), '--net', program, ...args];
  }

  /** The environment of its user. */
  env(more: Record<string, string> = {}): Record<string, string> {
    return { HOME: this.home, PATH: process.env['PATH'] ?? '', ...more };
  }

  async remove(): Promise<void> {
    const ended = once(this.#holder, 'exit');
    this.#holder.kill('SIGKILL');
    await ended;
    rmSync(this.home, { recursive: true });
  }
}

/**
 * Machines on one network, which reach nothing else. They are removed with the test.
 *
 * @param seconds after which they end by themselves, should this process not have done it
 */
export async function machines(t: Pick<TestContext, 'after'>, count: number, seconds = 600): Promise<Machine[]> {
  const all: Machine[] = [];
  t.after(() => Promise.all(all.map((machine) => machine.remove())));
  const ip = (machine: Machine, commands: string[]) => {
    const [program, ...args] = machine.command('ip', '-batch', '-');
    execFileSync(program, args, { input: commands.join('\n') });
  };
  for (let n = 1; n <= count; n++) {
    const holder = spawn('unshare', ['--net', 'sleep', String(seconds)], { stdio: 'ignore' });
    const machine = new Machine(`10.77.0.${n}`, holder);
    all.push(machine);
    // Until unshare has done its work, the process is still in this namespace.
    const isApart = () => readlinkSync(`/proc/${machine.pid}/ns/net`) !== readlinkSync('/proc/self/ns/net');
    await eventually(isApart);
    ip(machine, ['link set lo up']);
  }
  const [first, ...others] = all as [Machine, ...Machine[]];
  ip(first, ['link add bridge0 type bridge', `address add ${first.address}/24 dev bridge0`, 'link set bridge0 up']);
  for (const [index, machine] of others.entries()) {
    ip(first, [
      `link add cable${index} type veth peer name uplink netns ${machine.pid}`,
      `link set cable${index} master bridge0 up`,
    ]);
    ip(machine, [
      `address add ${machine.address}/24 dev uplink`,
      'link set uplink up',
      `route add default via ${first.address}`,
    ]);
  }
  ip(first, ['route add default dev bridge0']);
  return all;
}
