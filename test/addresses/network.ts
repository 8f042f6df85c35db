import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { engineNames } from '../support/engines.ts';
import { RelayProcess, testSecret } from '../support/relay.ts';
import { eventually } from '../support/wait.ts';

/**
 * Two hosts with 300 addresses each, of which only the last one reaches the other: all the others
 * are on both, as those of container bridges are. Runs in a network namespace of its own, which is
 * the first host; prints what it saw as JSON. Usage: network.ts
 */
const crowd = [
  ...Array.from({ length: 20 }, (_, n) => [
    `link add box${n} type veth peer name box${n}-end`,
    `link set box${n}-end up`,
    `address add 172.20.${n}.1/24 dev box${n}`,
    `link set box${n} up`,
  ]),
  ['link add many0 type veth peer name many0-end', 'link set many0-end up', 'link set many0 up'],
  ...Array.from({ length: 279 }, (_, n) => [`address add 172.${21 + Math.floor(n / 200)}.${n % 200}.1/24 dev many0`]),
].flat();
const clear = Array.from({ length: 20 }, (_, n) => `link delete box${n}`).concat('link delete many0');

const inside = (pid: number | undefined): string[] => ['--target', String(pid), '--net'];
function ip(host: string[], commands: string[]): void {
  execFileSync('nsenter', [...host, 'ip', '-batch', '-'], { input: commands.join('\n') });
}

const holder = spawn('unshare', ['--net', 'sleep', '600'], { stdio: 'ignore' });
const [near, far] = [inside(process.pid), inside(holder.pid)];
await eventually(() => {
  // Until unshare has done its work, the process is still in this namespace.
  const of = (pid: number | undefined) => execFileSync('readlink', [`/proc/${pid}/ns/net`], { encoding: 'utf8' });
  return of(holder.pid) !== of(process.pid);
});
for (const host of [near, far]) ip(host, ['link set lo up']);
const connect = (): void => {
  ip(near, ['link add uplink type veth peer name other', `link set other netns ${holder.pid}`]);
  ip(near, ['address add 10.99.0.1/24 dev uplink', 'link set uplink up', 'route add default via 10.99.0.2']);
  ip(far, ['link set other name uplink', 'address add 10.99.0.2/24 dev uplink', 'link set uplink up']);
  ip(far, ['route add default via 10.99.0.1']);
};
for (const host of [near, far]) ip(host, crowd);
connect();

const relay = await RelayProcess.start({ RELAY_HOST: '10.99.0.1' });
const end = fileURLToPath(new URL('end.ts', import.meta.url));
const children: ChildProcess[] = [];

type Doing = 'server' | 'client' | 'stay' | 'describe';
async function start(host: string[], doing: Doing, engine: string, room: string) {
  const role = doing === 'server' ? 'server' : 'client';
  const token = await createRoomToken({ key: testSecret, room, role, subject: role, ttl: 600 });
  const args = [...host, process.execPath, '--conditions=mcp-rendezvous-source', end, doing, engine, relay.ws, token];
  const child = spawn('nsenter', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  return { child, said: () => said };
}

async function run(host: string[], doing: Doing, engine: string, room: string): Promise<string> {
  const { child, said } = await start(host, doing, engine, room);
  if (doing === 'server') await eventually(() => said().includes('ready') || child.exitCode !== null);
  else await once(child, 'close');
  return said().trim();
}

const signals = async (): Promise<number> => {
  const text = await (await fetch(`${relay.url}/metrics`)).text();
  return Number(/^rendezvous_signals_total\{path="local"\} (\d+)$/m.exec(text)?.[1] ?? 0);
};

/** libwebrtc checks from 300 sockets of its own, which takes longer than a peer waits. */
const both = ['werift', 'node-datachannel'];
const seen: object[] = [];
async function meet(server: string, client: string, addresses: number): Promise<void> {
  const before = await signals();
  const room = crypto.randomUUID();
  await run(far, 'server', server, room);
  const said = await run(near, 'client', client, room);
  children[children.length - 2]?.kill('SIGKILL');
  seen.push({ server, client, addresses, signals: (await signals()) - before, ...(said && JSON.parse(said)) });
}

const described: Record<string, string[]> = {};
for (const engine of engineNames) described[engine] = JSON.parse(await run(near, 'describe', engine, 'a')) as string[];
for (const server of both) for (const client of both) await meet(server, client, 300);
for (const host of [near, far]) ip(host, clear);
await meet('werift', 'node-datachannel', 1);
for (const host of [near, far]) ip(host, crowd);
await meet('node-datachannel', 'werift', 300);

/** A session whose hosts lose all other addresses and get them back, twice; echoes after each. */
const stayed: number[] = [];
for (const engine of both) {
  const room = crypto.randomUUID();
  await run(far, 'server', engine, room);
  const { child, said } = await start(near, 'stay', engine, room);
  await eventually(() => said().includes('ready') || child.exitCode !== null, 30_000);
  for (const commands of [clear, crowd, clear, crowd]) {
    for (const host of [near, far]) ip(host, commands);
    const before = said().length;
    await eventually(() => said().length > before + 100 || child.exitCode !== null, 30_000);
    stayed.push(said().length - before);
  }
  child.kill('SIGKILL');
  children[children.length - 2]?.kill('SIGKILL');
}

console.log(JSON.stringify({ seen, described, stayed, errors: relay.stdout.match(/"code":"\w+"/g) ?? [] }));
await relay.stop();
for (const child of [...children, holder]) child.kill('SIGKILL');
