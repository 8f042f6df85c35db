import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { RedisServer } from '../../test/support/redis.ts';
import { testSecret } from '../../test/support/relay.ts';
import { eventually, within } from '../../test/support/wait.ts';
import { heldUpMs } from '../../test/support/own-time.ts';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));

/** A relay that is starting, in a PID namespace of its own as its first process if told so. */
class Starting {
  readonly child: ChildProcess;
  readonly ended: Promise<unknown[]>;
  output = '';
  readonly #inNamespace: boolean;

  /** @param init what is the first process instead, and starts the relay */
  constructor(t: TestContext, first: boolean, env: Record<string, string> = {}, init: string[] = []) {
    const node = [...init, process.execPath, '--conditions=mcp-rendezvous-source', main];
    const command = first ? ['unshare', '--pid', '--fork', '--mount-proc', ...node] : node;
    this.#inNamespace = first;
    this.child = spawn(command[0] ?? '', command.slice(1), {
      env: { PATH: process.env['PATH'], RELAY_SECRET: testSecret, RELAY_PORT: '0', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    }
    this.ended = once(this.child, 'close');
    t.after(async () => {
      await this.#kill('SIGKILL');
      this.child.kill('SIGKILL');
    });
  }

  /** The relay's process: itself, or the child of `unshare`. */
  async #pids(): Promise<number[]> {
    const { pid } = this.child;
    if (!pid || this.child.exitCode !== null || this.child.signalCode !== null) return [];
    return this.#inNamespace ? await childrenOf(pid) : [pid];
  }

  /** Whether the first process has started another one. */
  async hasStarted(): Promise<boolean> {
    const [init] = await this.#pids();
    return init !== undefined && (await childrenOf(init)).length > 0;
  }

  async terminate(): Promise<void> {
    await this.#kill('SIGTERM');
  }

  /** How long it takes to end from now on, in milliseconds, without what the machine held it up. */
  async endsAfterMs(): Promise<number> {
    const pids = await this.#pids();
    const held = (): number => pids.reduce((sum, pid) => sum + heldUpMs(pid), 0);
    const [before, from] = [held(), performance.now()];
    let most = before;
    const looking = setInterval(() => (most = Math.max(most, held())), 10);
    await this.terminate();
    await within(this.ended, `it ends: ${this.output}`);
    clearInterval(looking);
    return performance.now() - from - (most - before);
  }

  async #kill(signal: NodeJS.Signals): Promise<void> {
    for (const pid of await this.#pids()) {
      try {
        process.kill(pid, signal);
      } catch {
        // It has ended meanwhile.
      }
    }
  }
}

async function childrenOf(pid: number): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return children.split(' ').filter(Boolean).map(Number);
}

/** Passes on connections to Redis until this many pieces have passed; then nothing more comes. */
async function stallingAfter(t: TestContext, redis: RedisServer, pieces: number) {
  const stalled = Promise.withResolvers<void>();
  let passed = 0;
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(redis.port, '127.0.0.1');
    for (const socket of [near, far]) sockets.add(socket.on('error', () => socket.destroy()));
    if (passed >= pieces) stalled.resolve();
    near.on('data', (data) => {
      if (passed++ < pieces) far.write(data);
      else stalled.resolve();
    });
    far.on('data', (data) => near.write(data));
  }).listen(0, '127.0.0.1');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await once(server, 'listening');
  return { url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`, stalled: stalled.promise };
}

/**
 * Starts a relay, waits for a moment of its start, and terminates it. The best of three tries
 * counts, because this machine may be too busy to run the process at all for a second.
 */
async function endsWithinASecond(make: () => Promise<Starting>): Promise<void> {
  const times: number[] = [];
  while (times.length < 3) {
    const relay = await make();
    times.push(await relay.endsAfterMs());
    if (Math.min(...times) < 1000) return;
  }
  assert.fail(`it ended after ${times.map(Math.round).join(', ')} ms`);
}

for (const first of [false, true]) {
  const as = first ? 'as the first process of a container' : 'as a process among others';

  test(`SIGTERM while it waits for Redis, at each step, ${as}: it ends within a second`, async (t) => {
    const redis = await RedisServer.start();
    t.after(() => redis.stop());
    // The handshakes of two connections, the subscription, the check and the first renewal.
    for (const pieces of [0, 1, 2, 4, 6]) {
      await endsWithinASecond(async () => {
        const { url, stalled } = await stallingAfter(t, redis, pieces);
        const relay = new Starting(t, first, { REDIS_URL: url });
        await within(Promise.race([stalled, relay.ended]), 'it asks Redis');
        return relay;
      });
    }
  });

  test(`SIGTERM from its first moment on, ${as}: it ends before it listens`, async (t) => {
    const relay = new Starting(t, first);
    // The kernel drops a signal for the first process of a container until that has a handler.
    const ended = relay.ended.then(() => true);
    while (!(await Promise.race([ended, sleep(20, false)]))) await relay.terminate();
    assert.ok(!relay.output.includes('listening at'), relay.output);
  });
}

// As in the image, whose first process is an init.
for (const init of [[], ['tini', '--']]) {
  test(`SIGTERM after any time${init.length > 0 ? ', in a container with an init' : ''}: it ends within a second`, async (t) => {
    for (let delay = 0; delay <= 600; delay += 60) {
      await endsWithinASecond(async () => {
        const relay = new Starting(t, init.length > 0, {}, init);
        if (init.length > 0) await eventually(() => relay.hasStarted());
        // What is measured is a moment of the start.
        await sleep(delay);
        return relay;
      });
    }
  });
}
