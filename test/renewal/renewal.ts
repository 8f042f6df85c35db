import { execFileSync } from 'node:child_process';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { Cli, fixture } from '../../sdk/test/cli/support/process.ts';
import { type Machine, machines } from '../support/machines.ts';
import { RelayProcess, testSecret } from '../support/relay.ts';

// Sessions between `expose` and `connect` that outlive their tokens many times over.

export interface Plan {
  /** How long the sessions are used, in seconds. */
  seconds: number;
  /** How long a token counts, in seconds. */
  tokenSeconds: number;
  /** The time between two calls of a session, in seconds. */
  pauseSeconds: number;
}

/** What became of one session. */
export interface Outcome {
  name: string;
  calls: number;
  /** In milliseconds. */
  slowest: number;
  /** How often the relay was given another token for a running connection, by both ends. */
  renewals: number;
  /** How often an end lost its path or its relay and got it back, which ends no session. */
  recoveries: number;
  /** Those over which it went, one after the other. */
  paths: string[];
  /** What must not have happened, for people. */
  problems: string[];
}

type Context = Pick<TestContext, 'after'>;
interface World {
  t: Context;
  /** Fires when the sessions are over: before the machines are removed. */
  over: AbortSignal;
  plan: Plan;
  relay: { url: string };
}
interface Ends {
  expose: Cli;
  connect: Cli;
}

const invited = /mcpr1[\w-]+/;
/** A call that takes longer has not been answered. */
const answerMs = 60_000;

/** Two commands in a room of their own, and how they come by their tokens. */
interface Pair {
  room: string;
  /** Over which its session goes in the end. */
  path: 'direct' | 'relayed';
  renews: boolean;
  start: (world: World, machine: Machine, room: string) => Promise<Ends>;
}

const pairs: Record<string, Pair> = {
  'direct, tokens by command': { room: 'by-command', path: 'direct', renews: true, start: byCommand },
  'relayed, tokens by file': { room: 'by-file', path: 'relayed', renews: true, start: byFile },
  'direct, server invitation': { room: 'by-invitation', path: 'direct', renews: false, start: byServerInvitation },
  'relayed, signing key': { room: 'by-key', path: 'relayed', renews: false, start: byKey },
};

/**
 * Uses all sessions at once for the plan's time. Needs Linux and root: where a session has to be
 * relayed its machine has no UDP.
 *
 * @param say gets a line of progress now and then
 */
export async function renewal(t: Context, plan: Plan, say: (line: string) => void = () => {}): Promise<Outcome[]> {
  const [open, blocked] = (await machines(t, 2, plan.seconds + 600)) as [Machine, Machine];
  const [nft, ...rules] = blocked.command('nft', '-f', '-');
  execFileSync(nft, rules, { input: noUdp });
  // Short tokens are renewed when half of their life is over. Of those of minutes none is too many.
  const perMinute = String(Math.max(6, Math.ceil((2.5 * 60) / plan.tokenSeconds)));
  const settings = { RELAY_HOST: open.address, LOG_LEVEL: 'debug', MAX_TOKENS_PER_MINUTE: perMinute };
  const process = await RelayProcess.start(settings, undefined, open);
  t.after(() => process.stop());
  const ending = new AbortController();
  const world = { t, plan, relay: process, over: ending.signal };
  const outcomes = Promise.all(
    Object.entries(pairs).map(async ([name, { room, path, renews, start }]) => {
      const ends = await start(world, path === 'direct' ? open : blocked, room);
      const outcome: Outcome = { name, calls: 0, slowest: 0, renewals: 0, recoveries: 0, paths: [], problems: [] };
      await use(ends, outcome, plan, say);
      outcome.renewals = linesIn(process.stdout, room, 'token refreshed').length;
      const paths = Array.from(ends.connect.stderr.matchAll(/path_changed path=(\w+)/g), ([, one = '']) => one);
      // It is also told when a better one was looked for and not found.
      outcome.paths = paths.filter((one, at) => one !== paths[at - 1]);
      outcome.recoveries = linesOf(ends, /\blost the (?:connection|relay)/).length;
      outcome.problems.push(...linesOf(ends, /has ended|\bleft\b|was closed|did not connect/));
      outcome.problems.push(...linesIn(process.stdout, room, 'token_expired'));
      if (outcome.paths.at(-1) !== path) outcome.problems.push(`its path is not ${path}: ${outcome.paths.join(', ')}`);
      // Both ends, once for each life of a token that has ended at least.
      const least = 2 * Math.floor(plan.seconds / plan.tokenSeconds);
      if (renews && outcome.renewals < least) outcome.problems.push(`${outcome.renewals} renewals, ${least} expected`);
      return outcome;
    }),
  );
  return await outcomes.finally(() => ending.abort());
}

const noUdp = `table inet blocked {
  chain input {
    type filter hook input priority filter; policy accept;
    meta l4proto udp drop
  }
}
`;

/** Calls again and again for the plan's time. The server is one process for each session. */
async function use({ connect }: Ends, outcome: Outcome, plan: Plan, say: (line: string) => void): Promise<void> {
  const call = async (method: string): Promise<Record<string, unknown> | undefined> => {
    const begun = performance.now();
    outcome.calls += 1;
    try {
      const { result, error } = await connect.request(method, { n: outcome.calls }, answerMs);
      if (error) outcome.problems.push(`call ${outcome.calls}: ${error.message}`);
      outcome.slowest = Math.max(outcome.slowest, performance.now() - begun);
      return result;
    } catch (error) {
      outcome.problems.push(`call ${outcome.calls}: ${(error as Error).message}`);
      return undefined;
    } finally {
      // It would keep all answers.
      connect.messages.length = 0;
    }
  };
  await call('initialize');
  const first = await call('seen');
  // What both processes do when they start is not a call's time.
  outcome.slowest = 0;
  const end = performance.now() + plan.seconds * 1000;
  for (let told = performance.now(); performance.now() < end;) {
    await sleep(plan.pauseSeconds * 1000);
    const answer = await call('seen');
    if (answer && answer['pid'] !== first?.['pid']) outcome.problems.push(`call ${outcome.calls}: another session`);
    if (performance.now() - told < 60_000) continue;
    told = performance.now();
    say(`${outcome.name}: ${outcome.calls} calls, ${outcome.problems.length} problems`);
  }
}

const linesOf = ({ expose, connect }: Ends, what: RegExp): string[] =>
  [expose, connect].flatMap(({ stderr }) => stderr.split('\n').filter((line) => what.test(line)));

const linesIn = (log: string, room: string, what: string): string[] =>
  log.split('\n').filter((line) => line.includes(what) && line.includes(`"${room}"`));

interface Line {
  args: string[];
  env?: Record<string, string>;
}

/** @param clientLine how the client is started, once the server is there */
async function twoEnds(
  { t, relay }: World,
  machine: Machine,
  serverLine: Line,
  clientLine: (expose: Cli) => Line | Promise<Line>,
): Promise<Ends> {
  const start = ({ args, env = {} }: Line) => {
    const own = { XDG_CONFIG_HOME: join(machine.home, '.config'), MCP_RENDEZVOUS_RELAY: relay.url, ...env };
    return new Cli(t, args, machine.env(own), machine);
  };
  const expose = start({ ...serverLine, args: ['expose', '--debug', ...serverLine.args] });
  await expose.says('in room');
  const command = await clientLine(expose);
  return { expose, connect: start({ ...command, args: ['connect', '--debug', ...command.args] }) };
}

async function byCommand(world: World, machine: Machine, room: string): Promise<Ends> {
  const { server, client } = await tokenFiles(world, machine, room);
  return await twoEnds(world, machine, { args: ['--token-command', `cat ${server}`, '--', ...fixture()] }, () => ({
    args: ['--token-command', `cat ${client}`],
  }));
}

async function byFile(world: World, machine: Machine, room: string): Promise<Ends> {
  const { server, client } = await tokenFiles(world, machine, room);
  return await twoEnds(world, machine, { args: ['--token-file', server, '--', ...fixture()] }, () => ({
    args: ['--token-file', client],
  }));
}

/** Files that always have a token which counts for a while. */
async function tokenFiles({ over, plan }: World, machine: Machine, room: string) {
  const write = async (role: 'server' | 'client') => {
    const ttl = plan.tokenSeconds;
    const file = join(machine.home, `${room}-${role}`);
    const token = await createRoomToken({ key: testSecret, room, role, subject: role, ttl });
    if (over.aborted) return file;
    writeFileSync(`${file}.new`, token);
    renameSync(`${file}.new`, file);
    return file;
  };
  const files = { server: await write('server'), client: await write('client') };
  const writing = setInterval(() => void Promise.all([write('server'), write('client')]), plan.tokenSeconds * 250);
  over.addEventListener('abort', () => clearInterval(writing));
  return files;
}

async function byServerInvitation(world: World, machine: Machine, room: string): Promise<Ends> {
  const { t, relay, plan } = world;
  const operator = ['invite', '--role', 'server', '--room', room, '--for', `${plan.seconds + 600}s`];
  const env = machine.env({ RELAY_SECRET: testSecret, MCP_RENDEZVOUS_RELAY: relay.url });
  const invite = new Cli(t, operator, env, machine);
  await invite.exit();
  const invitation = invited.exec(invite.noise.join('\n'))?.[0] ?? '';
  return await invitedEnds(world, machine, { MCP_RENDEZVOUS_INVITATION: invitation, MCP_RENDEZVOUS_RELAY: '' });
}

async function byKey(world: World, machine: Machine, room: string): Promise<Ends> {
  return await invitedEnds(world, machine, { RELAY_SECRET: testSecret }, '--room', room);
}

async function invitedEnds(world: World, machine: Machine, env: Record<string, string>, ...flags: string[]) {
  const args = [...flags, '--print-invitation', '--', ...fixture()];
  return await twoEnds(world, machine, { args, env }, async (expose) => {
    await expose.says(invited);
    const [invitation = ''] = invited.exec(expose.stderr) ?? [];
    return { args: [], env: { MCP_RENDEZVOUS_INVITATION: invitation, MCP_RENDEZVOUS_RELAY: '' } };
  });
}
