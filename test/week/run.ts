import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv, exit } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Answer, Cli } from '../../sdk/test/cli/support/process.ts';
import { RelayProcess } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { eventually } from '../support/wait.ts';

/**
 * A laptop's week, with its nights shortened, in a network namespace of its own: one `connect`
 * process, whose client calls all the time, while servers and relays restart, the machine sleeps,
 * tokens end and addresses change. Prints what came of each call, as JSON.
 *
 *     unshare --net node … run.ts <events, separated by commas>
 */

/** When a call got through after an event, in milliseconds from the moment the server was back. */
interface Served {
  event: string;
  ms: number;
}

export interface WeekResult {
  served: Served[];
  calls: number;
  /** Calls that have no answer, or several. */
  notOnce: string[];
  ranTwice: string[];
  /** Calls with a result that no server has carried out. */
  neverRan: string[];
  /** Codes of the errors, each with its number. */
  errors: Record<string, number>;
  /** The process of `connect` was the same to its end, and ended by its client. */
  exit: number | string;
}

const tokenSeconds = 25;
const renewEveryMs = 8_000;
const callEveryMs = 150;
const directory = mkdtempSync(join(tmpdir(), 'week-'));
const cleanups: (() => unknown)[] = [() => rmSync(directory, { recursive: true })];
const t = { after: (cleanup: () => unknown) => void cleanups.unshift(cleanup) };
const ip = (...args: string[]) => execFileSync('ip', args);

ip('link', 'set', 'lo', 'up');
ip('link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0-end');
for (const end of ['eth0', 'eth0-end']) ip('link', 'set', end, 'up');
let host = 1;
ip('address', 'add', `198.51.100.${host}/24`, 'dev', 'eth0');

let relay = await RelayProcess.start();
const { port } = new URL(relay.url);
const room = new Room(relay);
const tokenFile = (role: string) => join(directory, `${role}.token`);
const renew = async (): Promise<void> => {
  for (const role of ['server', 'client'] as const)
    writeFileSync(tokenFile(role), await room.token(role, role, tokenSeconds));
};
await renew();
const renewing = setInterval(() => void renew(), renewEveryMs);
t.after(() => clearInterval(renewing));

const flags = (role: string) => ['--relay', relay.url, '--token-file', tokenFile(role)];
const server = [process.execPath, fileURLToPath(new URL('./server.ts', import.meta.url))];
const exposed: Cli[] = [];
async function expose(): Promise<Cli> {
  const program = new Cli(t, ['expose', ...flags('server'), '--', ...server]);
  exposed.push(program);
  await program.says('sharing ');
  return program;
}
async function restartRelay(): Promise<void> {
  await relay.stop('SIGKILL');
  await sleep(1_000); // for so long nobody reaches it: that is what is tried
  relay = await RelayProcess.start({ RELAY_PORT: port });
}

let current = await expose();
const client = new Cli(t, ['connect', ...flags('client'), '--wait', '60']);
const hello = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } };
await client.request('initialize', hello);
client.send({ method: 'notifications/initialized' });

const asked: string[] = [];
function call(): string {
  const id = `call-${asked.length}`;
  asked.push(id);
  client.send({ id, method: 'tools/call', params: { name: id } });
  return id;
}
const calling = setInterval(call, callEveryMs);
t.after(() => clearInterval(calling));

/** Calls until there is a result. */
async function servedAfterMs(): Promise<number> {
  const backAt = performance.now();
  while (true) {
    const { result } = await client.answer(call(), 90_000);
    if (result) return performance.now() - backAt;
  }
}

/** Each resolves when the server is back. */
const events: Record<string, () => Promise<void>> = {
  'the server restarts': async () => {
    current.process.kill(exposed.length % 2 === 0 ? 'SIGTERM' : 'SIGKILL');
    await current.exit();
    current = await expose();
  },
  'the relay restarts': async () => {
    const back = () => current.stderr.split('reconnected to the relay').length;
    const before = back();
    await restartRelay();
    await eventually(() => back() > before, 60_000, 'expose is back');
  },
  'both restart': async () => {
    current.process.kill('SIGKILL');
    await current.exit();
    await restartRelay();
    current = await expose();
  },
  'a nap of 10 s': () => asleep(10_000),
  'a sleep of 45 s': () => asleep(45_000),
  'another Wi-Fi': async () => {
    const before = host;
    host = (host % 200) + 1;
    ip('address', 'del', `198.51.100.${before}/24`, 'dev', 'eth0');
    await sleep(1_500); // what joining another network takes
    ip('address', 'add', `198.51.100.${host}/24`, 'dev', 'eth0');
  },
  'tokens end': () => sleep(tokenSeconds * 1_000),
};
async function asleep(ms: number): Promise<void> {
  client.process.kill('SIGSTOP');
  await sleep(ms);
  client.process.kill('SIGCONT');
}

const served: Served[] = [];
for (const event of argv[2]?.split(',') ?? []) {
  await events[event]!();
  served.push({ event, ms: Math.round(await servedAfterMs()) });
  // As for most of a week, nothing happens; the session finds a direct path.
  await sleep(2_000);
}
clearInterval(calling);
const answers = (): Answer[] => client.messages.filter((message) => !('method' in message)) as Answer[];
const answersTo = (id: string): Answer[] => answers().filter((answer) => answer.id === id);
await eventually(() => asked.every((id) => answersTo(id).length > 0), 90_000).catch(() => {});
client.process.stdin.end();
const result: WeekResult = {
  served,
  calls: asked.length,
  notOnce: asked.filter((id) => answersTo(id).length !== 1),
  ...whatRan(),
  errors: {},
  exit: await client.exit(),
};
for (const { error } of answers()) {
  if (!error) continue;
  const code = error.data?.code ?? 'none';
  result.errors[code] = (result.errors[code] ?? 0) + 1;
}
for (const cleanup of cleanups) await cleanup();
await relay.stop();
console.log(JSON.stringify(result));
exit();

function whatRan(): Pick<WeekResult, 'ranTwice' | 'neverRan'> {
  const ran = exposed.flatMap(({ stderr }) => Array.from(stderr.matchAll(/ran (call-\d+);/g), ([, id]) => id!));
  const once = new Set(ran);
  const done = answers().filter((answer) => answer.result !== undefined);
  return {
    ranTwice: ran.filter((id, index) => ran.indexOf(id) !== index),
    neverRan: done.map(({ id }) => String(id)).filter((id) => id.startsWith('call-') && !once.has(id)),
  };
}
