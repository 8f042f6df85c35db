import { execFileSync, spawn } from 'node:child_process';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { once } from 'node:events';
import { fixture, fromSource, mainFile } from '../../sdk/test/cli/support/process.ts';
import { Coturn, turnSecret } from '../support/coturn.ts';
import { RelayProcess, testSecret } from '../support/relay.ts';
import { eventually } from '../support/wait.ts';

/**
 * Runs doctor in networks that block: in a network namespace of its own, with real STUN and TURN
 * servers and with rules of its packet filter. Prints the verdicts as JSON, by the names of the
 * networks. Usage: networks.ts [name of the only one]
 */
execFileSync('ip', ['link', 'set', 'lo', 'up']);
const rules = (...list: string[]): void => {
  for (const rule of ['-F', '-t nat -F', ...list]) execFileSync('iptables', ['-w', ...rule.split(' ')]);
};

const [first, second] = await Promise.all([Coturn.start(), Coturn.start()]);
const token = (role: 'server' | 'client') =>
  createRoomToken({ key: testSecret, room: 'desk', role, subject: role, ttl: 600 });

async function run(relay: RelayProcess, role: 'server' | 'client', ...args: string[]) {
  const env = { ...process.env, MCP_RENDEZVOUS_RELAY: relay.ws, MCP_RENDEZVOUS_TOKEN: await token(role) };
  return spawn(process.execPath, [...fromSource, mainFile, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
}

interface Network {
  rules?: string[];
  relay: Record<string, string>;
  role?: 'server' | 'client';
  /** Somebody shares a server in the room. */
  shared?: boolean;
  flags?: string[];
}

const noUdp = ['-A OUTPUT -p udp -j DROP'];
/** UDP between any two ports, if none of them is one of the servers'. */
const noDirect = [
  ...[first, second].flatMap(({ port }) =>
    ['--sport', '--dport'].map((which) => `-A OUTPUT -p udp ${which} ${port} -j ACCEPT`),
  ),
  ...noUdp,
];
const strictNat = ['-t nat -A POSTROUTING -p udp -j SNAT --to-source 127.0.0.1:40000-60000 --random-fully'];
const stun = { STUN_URLS: [first.stun, second.stun].join(',') };
const turn = { TURN_URLS: `${first.udp},${first.tcp}`, TURN_SECRET: turnSecret };
const off = { RELAYED_DATA: 'off' };

const networks: Record<string, Network> = {
  open: { relay: { ...stun, ...turn } },
  'no STUN': { relay: off },
  'UDP blocked, TURN': { rules: noUdp, relay: { ...stun, ...turn } },
  'UDP blocked, no TURN': { rules: noUdp, relay: { ...stun, ...off } },
  'UDP blocked, TURN refuses': { rules: noUdp, relay: { ...stun, ...turn, TURN_SECRET: 'another secret' } },
  'strict NAT, TURN': { rules: strictNat, relay: { ...stun, ...turn } },
  'both have addresses, no path': { rules: noDirect, relay: { ...stun, ...off }, shared: true },
  'a server': { relay: {}, role: 'server', flags: ['--ice-server', first.stun] },
};

const verdicts: Record<string, unknown> = {};
const only = process.argv[2];
for (const [name, { rules: list = [], relay: env, role = 'client', shared, flags = [] }] of Object.entries(networks)) {
  if (only !== undefined && only !== name) continue;
  rules();
  const relay = await RelayProcess.start(env);
  const expose = shared ? await run(relay, 'server', 'expose', '--', ...fixture()) : undefined;
  let said = '';
  expose?.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  if (expose) await eventually(() => said.includes('sharing'), 30_000);
  rules(...list);
  const doctor = await run(relay, role, 'doctor', '--json', ...flags);
  let output = '';
  doctor.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  await once(doctor, 'close');
  verdicts[name] = JSON.parse(output);
  expose?.kill('SIGKILL');
  await relay.stop('SIGKILL');
}
rules();
await Promise.all([first.stop(), second.stop()]);
console.log(JSON.stringify(verdicts));
