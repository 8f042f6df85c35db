import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import type { Path } from 'mcp-rendezvous';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { complete, serverName } from '../interop/exchange.ts';
import { type Remote, RemoteProcess } from '../support/remote.ts';
import { openRemotePage } from '../support/remote-page.ts';
import { testSecret } from '../support/relay.ts';
import { within } from '../support/wait.ts';
import type { End, EndReport } from './end.ts';
import { type Internet, type Mode, modes } from './internet.ts';
import { bestPath, type Kind } from './kinds.ts';
import { Site } from './site.ts';

/** `default`: what the SDK takes with node-datachannel installed. */
export type EngineName = 'werift' | 'default';
export type Side = 'server' | 'client';

/** How the network of one side changes in mid-session. */
export interface Change {
  what: 'cable' | 'address' | 'UDP';
  side: Side;
}

export interface Cell {
  mode: Mode;
  server: Kind;
  client: Kind;
  engine: EngineName;
  /** This side is a page in Chromium. */
  chromium?: Side;
  change: Change;
  /** In which time a session has to be direct where it can be. */
  directWithinMs: number;
}

export interface Outcome {
  cell: Cell;
  /** Why there is no session; undefined: there is one. */
  failed?: string;
  firstAnswerMs?: number;
  /** After five seconds, or as soon as it is direct where that may take longer. */
  settled?: Settled;
  /** At the end, after the change. */
  end?: Settled;
  /**
   * From the change to the last move, if that led to the best path that is possible then; 0: the
   * session stayed on it.
   */
  backAfterMs?: number;
  longestPauseMs?: number;
  /** What was not as promised; empty when all was. */
  problems: string[];
  /** What happened at both ends, in order. */
  events: string[];
}

export interface Settled {
  path: Path;
  /** Of server and client; empty where no WebRTC connection carries the session. */
  engines: string[];
}

/** For a process or a page to be there, on a busy machine too. */
const startMs = 120_000;
const settleMs = 5_000;
const messages = 300;
const streamMs = 5_000;
const unpluggedMs = 2_000;
/** When nothing has arrived for so long nothing will, on a busy machine either. */
const stalledMs = 20_000;
/** For all messages to arrive and for the best path to be found after a change. */
const patienceMs = 60_000;
const lookEveryMs = 100;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** One session between two networks. */
export async function runCell(internet: Internet, cell: Cell): Promise<Outcome> {
  await using stack = new AsyncDisposableStack();
  const site = async (kind: Kind): Promise<Site> => {
    const made = await Site.create(kind);
    stack.defer(() => made.remove());
    return made;
  };
  const sites = { server: await site(cell.server), client: await site(cell.client) };
  const ends = await startEnds(internet, cell, sites);
  stack.defer(async () => void (await Promise.all([ends.server.stop(), ends.client.stop()])));
  const session = new Session(cell, sites, ends);
  const outcome: Outcome = { cell, problems: [], events: [] };
  try {
    await session.run(internet, outcome);
  } catch (error) {
    outcome.problems.push(String(error));
  }
  outcome.events = await session.chronicle();
  return outcome;
}

type Ends = Record<Side, Remote<End>>;

/** From the worst one to the best. */
const ranks: (Path | undefined)[] = [undefined, 'relayed', 'turn', 'direct'];
const isBetter = (one: Path | undefined, other: Path | undefined): boolean => ranks.indexOf(one) > ranks.indexOf(other);

async function startEnds(internet: Internet, cell: Cell, sites: Record<Side, Site>): Promise<Ends> {
  const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
  const start = async (side: Side): Promise<Remote<End>> => {
    const { enter, proxy } = sites[side];
    if (cell.chromium === side) {
      const args = ['--ignore-certificate-errors', ...(proxy === undefined ? [] : [`--proxy-server=${proxy}`])];
      return await openRemotePage<End>({ enter, script: file('page.ts'), name: 'networkEnd', args });
    }
    const env = { ...internet.env, ...(proxy !== undefined && { HTTPS_PROXY: proxy }) };
    const node = [process.execPath, '--conditions=mcp-rendezvous-source', file('node-end.ts'), cell.engine];
    return new RemoteProcess<End>([...enter, ...node], env);
  };
  // One that fails to start leaves the other one, which ends with this process.
  const [server, client] = await Promise.all([start('server'), start('client')]);
  await within(Promise.all([server.call('report'), client.call('report')]), 'both ends start', startMs);
  return { server, client };
}

class Session {
  readonly #cell: Cell;
  readonly #sites: Record<Side, Site>;
  readonly #ends: Ends;
  readonly #changes: string[] = [];

  constructor(cell: Cell, sites: Record<Side, Site>, ends: Ends) {
    this.#cell = cell;
    this.#sites = sites;
    this.#ends = ends;
  }

  async run(internet: Internet, outcome: Outcome): Promise<void> {
    const { server, client } = this.#ends;
    const best = this.#best(this.#cell);
    const room = randomUUID();
    const place = async (role: Side) => ({
      relay: internet.relay(this.#cell.mode),
      token: await createRoomToken({ key: testSecret, room, role, subject: role, ttl: 3600 }),
      // Where there is no path it is not waited for as long as usual.
      connectTimeoutMs: best === undefined ? 10_000 : 30_000,
    });
    await within(server.call('serve', await place('server')), 'the server joins');
    const connected = await within(client.call('connect', await place('client')), 'the client connects', 60_000);
    if ('failed' in connected) {
      outcome.failed = connected.failed;
      if (best !== undefined) outcome.problems.push(`not connected: ${connected.failed}`);
      return;
    }
    if (best === undefined) outcome.problems.push('connected where there is no path');
    outcome.firstAnswerMs = connected.firstAnswerMs;
    const connectedAt = performance.now();
    const settled = pause(settleMs);
    const seen = await within(client.call('exchange'), 'an MCP exchange');
    if (!isDeepStrictEqual(seen, complete(serverName))) outcome.problems.push(`the exchange: ${JSON.stringify(seen)}`);
    // What is looked at is where the session is after this time.
    await settled;
    let reports = await this.#look();
    while (best === 'direct' && !isOn(best, reports) && performance.now() - connectedAt < this.#cell.directWithinMs) {
      await pause(lookEveryMs);
      reports = await this.#look();
    }
    outcome.settled = this.#settled(reports);
    const { path } = outcome.settled;
    if (isBetter(path, best) || (best === 'direct' && path !== best)) {
      outcome.problems.push(`${path} in the beginning, where ${best} is possible`);
    }
    await this.#changeUnderLoad(outcome);
    await within(client.call('leave'), 'the client leaves', 30_000);
  }

  /** What happened at both ends and between them, in order. */
  async chronicle(): Promise<string[]> {
    const sides = ['server', 'client'] as const;
    const told = await Promise.all(
      sides.map(async (side) => {
        const end = this.#ends[side];
        const { events } = await within(end.call('report'), `the ${side} reports`, 5_000).catch((error: Error) => ({
          events: [`${new Date().toISOString()} ${error.message}`],
        }));
        const output = end.output === '' ? [] : [`output of the ${side}:\n${end.output}`];
        return [...events.map((event) => event.replace(' ', ` ${side} `)), ...output];
      }),
    );
    return [...this.#changes, ...told.flat()].toSorted();
  }

  async #changeUnderLoad(outcome: Outcome): Promise<void> {
    const { server, client } = this.#ends;
    const plan = { messages, calls: 0, durationMs: streamMs };
    await server.call('begin', { ...plan, seed: 1 });
    await client.call('begin', { ...plan, seed: 2 });
    await pause(streamMs / 10);
    this.#checkUp(await this.#look(), outcome.problems);
    const changed = Date.now();
    await this.#change();
    const best = this.#best(this.#afterwards);
    const arrived = (reports: Reports) =>
      reports.every(({ sent, received }) => sent === messages && received === messages);
    let reports = await this.#look();
    let progress = { sum: 0, at: Date.now() };
    while (Date.now() - changed < patienceMs && Date.now() - progress.at < stalledMs) {
      reports = await this.#look();
      if (arrived(reports) && isOn(best, reports)) break;
      if (reports.some(({ state }) => state === 'closed')) break;
      const sum = reports[0].received + reports[1].received;
      if (sum > progress.sum) progress = { sum, at: Date.now() };
      await pause(lookEveryMs);
    }
    outcome.end = this.#settled(reports);
    outcome.longestPauseMs = Math.max(...reports.map(({ longestPauseMs }) => longestPauseMs));
    const lastMove = Math.max(...reports.map(({ paths }) => paths.at(-1)?.at ?? 0));
    if (isOn(best, reports)) outcome.backAfterMs = Math.max(0, lastMove - changed);
    else {
      const at = reports.map(({ paths }) => paths.at(-1)?.path).join(' and ');
      outcome.problems.push(`server and client are ${at} at the end, where ${best} is possible`);
    }
    for (const [index, report] of reports.entries()) {
      const of = index === 0 ? 'server' : 'client';
      const { sent, received, doubled, reordered, damaged, state } = report;
      if (sent !== messages) outcome.problems.push(`${sent} messages sent by the ${of}, promised ${messages}`);
      const lost = messages - received;
      for (const [what, count] of Object.entries({ lost, doubled, reordered, damaged })) {
        if (count !== 0) outcome.problems.push(`${count} ${what} at the ${of}`);
      }
      if (state !== 'connected') outcome.problems.push(`the ${of} is ${state}`);
    }
  }

  async #change(): Promise<void> {
    const { what, side } = this.#cell.change;
    const site = this.#sites[side];
    this.#changes.push(`${new Date().toISOString()} * ${what} of the ${side}`);
    switch (what) {
      case 'cable':
        await site.unplug();
        await pause(unpluggedMs);
        return await site.plug();
      case 'address':
        return await site.readdress();
      case 'UDP':
        return await site.blockUdp();
    }
  }

  /** Both networks after the change. */
  get #afterwards(): Record<Side, Kind> {
    const { server, client, change } = this.#cell;
    return { server, client, ...(change.what === 'UDP' && { [change.side]: 'no UDP' }) };
  }

  #best({ server, client }: Record<Side, Kind>): Path | undefined {
    return bestPath(server, client, modes[this.#cell.mode]);
  }

  async #look(): Promise<Reports> {
    const { server, client } = this.#ends;
    return await within(Promise.all([server.call('report'), client.call('report')]), 'both ends report');
  }

  /** Where the client is. That the server is there too is asked at the end. */
  #settled([server, client]: Reports): Settled {
    const path = client.paths.at(-1)?.path ?? 'relayed';
    return { path, engines: path === 'relayed' ? [] : [server.engine, client.engine] };
  }

  /** In a network that does not change a session goes to better paths only. */
  #checkUp(reports: Reports, problems: string[]): void {
    for (const { paths } of reports) {
      if (paths.some(({ path }, index) => isBetter(paths[index - 1]?.path, path))) {
        problems.push(`moved down without a change: ${paths.map(({ path }) => path).join(', ')}`);
      }
    }
  }
}

type Reports = [server: EndReport, client: EndReport];

const isOn = (path: Path | undefined, reports: Reports): boolean =>
  reports.every(({ paths }) => paths.at(-1)?.path === path);
