import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../test/support/port.ts';
import { testSecret } from '../../test/support/relay.ts';
import { eventually, within } from '../../test/support/wait.ts';
import { RawPeer, testToken } from './support/peer.ts';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'log-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A relay whose log is what a shell makes of its standard output. */
class LoggingRelay {
  readonly url: string;
  readonly process: ChildProcess;
  #stopped = false;
  #traffic: Promise<unknown> | undefined;

  private constructor(port: number, process: ChildProcess) {
    this.url = `http://127.0.0.1:${port}`;
    this.process = process;
  }

  /** @param command of a shell, which ends with `exec "$@"` and where the log goes */
  static async start(t: TestContext, command: string): Promise<LoggingRelay> {
    const port = await freePort();
    const args = ['-c', command, 'sh', process.execPath, '--conditions=mcp-rendezvous-source', main];
    const env = {
      PATH: process.env['PATH'],
      RELAY_PORT: String(port),
      RELAY_SECRET: testSecret,
      DRAIN_WINDOW_MS: '0',
      MAX_JOINS_PER_SECOND_PER_ADDRESS: '10000',
    };
    const relay = new LoggingRelay(port, spawn('sh', args, { env, stdio: ['ignore', 'ignore', 'inherit'] }));
    t.after(async () => {
      relay.#stopped = true;
      relay.process.kill('SIGKILL');
      await relay.#traffic?.catch(() => {}); // the test has said what is wrong
    });
    await eventually(async () => (await fetch(`${relay.url}/healthz`).catch(() => undefined))?.ok === true, 30_000);
    return relay;
  }

  /** From here on peers come and go. */
  begin(): void {
    this.#stopped = false;
    this.#traffic = Promise.all(['a', 'b', 'c', 'd'].map((room) => this.#serve(room)));
  }

  /** One peer after the other comes and goes, so that there are some lines in the log. */
  async visit(): Promise<void> {
    for (let n = 0; n < 3; n++) await this.#visit('visited', n);
  }

  /** Resolves when nobody comes any more. */
  async pause(): Promise<void> {
    this.#stopped = true;
    await within(this.#traffic ?? Promise.resolve(), 'the last peer leaves');
  }

  /** Peers come and go, each with some lines in the log. */
  async #serve(room: string): Promise<void> {
    for (let n = 0; !this.#stopped; n++) await this.#visit(room, n);
  }

  async #visit(room: string, n: number): Promise<void> {
    const peer = await RawPeer.join(this.url, testToken({ room, role: 'client', subject: `s-${n}` }));
    peer.send({ type: 'leave' });
    await peer.closed;
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    return Number(new RegExp(`^${name}(?:{[^}]*})? (\\d+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
  }

  dropped(): Promise<number> {
    return this.metric('rendezvous_log_dropped_total');
  }

  /** Waits for lines to be dropped, while peers are served. */
  async drops(): Promise<void> {
    const before = await this.dropped();
    await eventually(async () => (await this.dropped()) > before, 30_000);
    const joins = await this.metric('rendezvous_joins_total');
    await eventually(async () => (await this.metric('rendezvous_joins_total')) > joins + 20);
  }

  /** Asks it to stop, which it does in time whatever its log is like. */
  async end(): Promise<void> {
    await this.pause();
    const closed = once(this.process, 'close');
    this.process.kill('SIGTERM');
    assert.deepEqual(await within(closed, 'the relay stops'), [0, null]);
  }
}

/** Lines of a log from its middle: the first and the last one may be incomplete. */
const linesOf = (log: string): { dropped?: number; reason?: string }[] =>
  log
    .split('\n')
    .slice(1, -1)
    .map((line) => JSON.parse(line) as { dropped?: number; reason?: string });

const isDrop = ({ dropped = 0 }: { dropped?: number }): boolean => dropped > 0;

test('a full disk: the relay goes on, counts the lines, and logs again when there is space', async (t) => {
  const path = await directory(t);
  const isRoot = process.getuid?.() === 0;
  const relay = await LoggingRelay.start(
    t,
    `exec unshare ${isRoot ? '' : '--map-root-user '}--mount sh -c '
       mount -t tmpfs -o size=32k none ${path}; exec "$@" >> ${path}/log' sh "$@"`,
  );
  relay.begin();
  const inside = join('/proc', String(relay.process.pid), 'root', path);
  const log = (): Promise<string> => readFile(join(inside, 'log'), 'utf8');
  for (let round = 0; round < 3; round++) {
    await relay.drops();
    const full = await log();
    assert.ok(full.length <= 32_768 && full.length > 16_384);
    // Somebody makes space, and somebody else takes it again.
    await truncate(join(inside, 'log'), 0);
    await writeFile(join(inside, 'ballast'), 'x'.repeat(12_288));
    await eventually(async () => (await log()).split('\n').length > 20);
    const lines = linesOf(await log());
    assert.deepEqual([lines.find(isDrop)?.reason, lines.filter(isDrop).length], ['ENOSPC', 1]);
    await relay.drops();
    await truncate(join(inside, 'log'), 0);
    await rm(join(inside, 'ballast'));
  }
  await relay.end();
});

test('a reader of the log that hangs, goes on, is killed, and comes back', async (t) => {
  const path = await directory(t);
  const fifo = join(path, 'fifo');
  execFileSync('mkfifo', [fifo]);
  let log = '';
  const startReader = (): ChildProcess => {
    const reader = spawn('cat', [fifo], { stdio: ['ignore', 'pipe', 'inherit'] });
    t.after(() => reader.kill('SIGKILL'));
    reader.stdout.setEncoding('utf8').on('data', (text: string) => (log += text));
    return reader;
  };
  let reader = startReader();
  // Only for writing: this is a pipe as `relay | reader` makes it.
  const relay = await LoggingRelay.start(t, `exec "$@" > ${fifo}`);
  await relay.visit();
  await eventually(() => log.includes('"left"'));
  assert.equal(await relay.dropped(), 0);
  for (let round = 0; round < 2; round++) {
    reader.kill('SIGSTOP');
    relay.begin();
    await relay.drops();
    // A reader that is back may be late again on a busy machine, if more and more comes.
    await relay.pause();
    log = '\n';
    reader.kill('SIGCONT');
    await relay.visit();
    await eventually(() => log.includes('"EAGAIN"') && log.endsWith('\n'));
    assert.equal(linesOf(log).filter(isDrop).length, 1);
    const ended = once(reader, 'close');
    reader.kill('SIGKILL');
    await ended;
    relay.begin();
    await relay.drops();
    await relay.pause();
    log = '\n';
    reader = startReader();
    await relay.visit();
    await eventually(() => log.includes('"EPIPE"') && log.includes('"left"'));
    assert.equal(linesOf(log).filter(isDrop).length, 1);
  }
  // It stops in time, too, while nobody reads.
  reader.kill('SIGSTOP');
  relay.begin();
  await relay.drops();
  await relay.end();
});

test('without a key and with nobody who reads what it prints, a relay runs', async (t) => {
  const port = await freePort();
  const env = { PATH: process.env['PATH'], RELAY_PORT: String(port) };
  const args = ['--conditions=mcp-rendezvous-source', main];
  const relay = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(() => relay.kill('SIGKILL'));
  relay.stdout.destroy();
  relay.stderr.destroy();
  const healthy = async () => (await fetch(`http://127.0.0.1:${port}/healthz`).catch(() => undefined))?.ok === true;
  await eventually(healthy);
  for (let n = 0; n < 100; n++) assert.ok(await healthy());
});
