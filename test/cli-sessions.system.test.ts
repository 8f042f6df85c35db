import { readdirSync, readFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { post } from '../sdk/test/cli/support/http.ts';
import { Cli, fixture, until } from '../sdk/test/cli/support/process.ts';
import { RelayProcess } from './support/relay.ts';
import { Room } from './support/room.ts';

const sessions = 100;
const atOnce = 5;
const hello = { id: 0, method: 'initialize', params: { protocolVersion: '2025-11-25' } };
const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);

void suite('many sessions', () => {
  let relay: RelayProcess;
  before(async () => {
    relay = await RelayProcess.start();
  });
  after(() => relay.stop());

  test(`${sessions} sessions, each cut at a random point, leave no process behind`, async (t) => {
    t.diagnostic(`SEED=${seed}`);
    const random = generator(seed);
    const room = new Room(relay);
    // Whatever expose starts inherits the mark, and keeps it when its parent is gone.
    const mark = crypto.randomUUID();
    const expose = new Cli(t, ['expose', '--max-sessions', '400', '--', ...fixture()], {
      ...(await room.env('server')),
      MARK: mark,
    });
    const connect = new Cli(t, ['connect', '--http', '0'], await room.env('client'));
    await connect.says(/at http:\S+\/mcp/);
    const url = /at (http:\S+)/.exec(connect.stderr)![1]!;
    let next = 0;
    const worker = async () => {
      while ((next += 1) <= sessions) await cut(url, random);
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
    // A client that left without a word has a session until it was idle for long, or the gateway
    // ends.
    connect.process.kill('SIGTERM');
    await connect.exit();
    // Itself, the one that waits for the next client, and the shell that ends servers if expose
    // cannot.
    await until('the end of all the others', () => marked(mark).length <= 3, 120_000);
    // A process that has just ended is one for a moment.
    await until('the end of every zombie', () =>
      childrenOf(expose.process.pid!).every((child) => stateOf(child) !== 'Z'),
    );
    expose.process.kill('SIGTERM');
    await expose.exit();
    await until('the end of the last ones', () => marked(mark).length === 0);
  });
});

/** Opens a session, and leaves it at one point or another, in one way or another. */
async function cut(url: string, random: () => number): Promise<void> {
  const abort = new AbortController();
  const early = random() < 0.3;
  if (early) setTimeout(() => abort.abort(), random() * 600);
  try {
    const response = await post(url, hello, {}, abort.signal);
    const headers = { 'mcp-session-id': response.headers.get('mcp-session-id') ?? '' };
    const calls = ['echo', 'silence', 'flood', 'ask', 'exit', 'grandchild'].filter(() => random() < 0.4);
    const pending = calls.map((method, id) => post(url, { id, method }, headers, abort.signal).then((r) => r.text()));
    const settled = Promise.allSettled(pending);
    if (random() < 0.5) await Promise.race([settled, Promise.resolve()]);
    await fetch(url, { method: 'DELETE', headers });
    await settled;
  } catch (error) {
    if (!abort.signal.aborted) throw error;
  }
}

/** Mulberry32: the same numbers for the same seed. */
function generator(state: number): () => number {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const everyProcess = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);

const read = (pid: number, file: string): string => {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return ''; // it has gone
  }
};
const marked = (mark: string) => everyProcess().filter((pid) => read(pid, 'environ').includes(`MARK=${mark}`));
// The fields of /proc/<pid>/stat from the third on (proc(5)).
const fieldsOf = (pid: number) =>
  read(pid, 'stat')
    .replace(/^.*\) /s, '')
    .split(' ');
const stateOf = (pid: number) => fieldsOf(pid)[0];
const childrenOf = (pid: number) => everyProcess().filter((child) => Number(fieldsOf(child)[1]) === pid);
