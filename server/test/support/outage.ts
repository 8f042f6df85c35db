import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { eventually } from '../../../test/support/wait.ts';
import { type RunningApp, startApp } from './app.ts';
import { ready } from './pairs.ts';
import { RawPeer, testToken } from './peer.ts';

/** A fault of Redis that can come and go. */
interface Fault {
  url: string;
  env?: Record<string, string>;
  /** The label of the metric, and what the line in the log has. */
  reason: string;
  /** What happened, as Redis or the system calls it. */
  what: RegExp;
  /** What the operator has to do. */
  todo: RegExp;
  begin(): Promise<unknown>;
  end(): Promise<unknown>;
}

interface Line {
  level: number;
  msg: string;
  reason?: string;
  redis?: string;
}

const linesOf = (app: RunningApp): Line[] =>
  app
    .log()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);

/** Warnings with this reason. */
const warnings = (app: RunningApp, reason: string): Line[] =>
  linesOf(app).filter((line) => line.level === 40 && line.reason === reason);

const counted = async ({ url }: RunningApp, reason: string): Promise<number> => {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^rendezvous_redis_errors_total\\{reason="${reason}"\\} (\\d+)`, 'm').exec(text)?.[1]);
};

/**
 * The fault is there at the start, goes, comes under traffic, and goes. Each time the log has the
 * reason at its default level, with what happened, to whom and what to do; `/readyz` and the metric
 * have it as well; the relay comes back by itself, and nobody on it loses a socket.
 */
export async function comesAndGoes(t: TestContext, fault: Fault): Promise<RunningApp> {
  await fault.begin();
  const app = await startApp(t, { LOG_LEVEL: '', REDIS_URL: fault.url, LEASE_MS: '3000', ...fault.env });
  await refused(app, fault, 1);
  await fault.end();
  await eventually(() => ready(app), 30_000, 'ready when it is put right');

  const server = await RawPeer.join(app.url, testToken({ room: 'a', role: 'server' }));
  const client = await RawPeer.join(app.url, testToken({ room: 'a', role: 'client' }));
  let sent = 0;
  const signals = setInterval(() => client.signal(server, 'x', String(++sent)), 50);
  try {
    await fault.begin();
    await refused(app, fault, 2);
    const before = server.frames.length;
    await eventually(() => server.frames.length > before, 30_000, 'peers of one instance go on');
    await fault.end();
    await eventually(() => ready(app), 30_000, 'ready again');
  } finally {
    clearInterval(signals);
  }
  await RawPeer.join(app.url, testToken({ room: 'b', role: 'server' }));
  for (const { socket } of [server, client]) assert.equal(socket.readyState, socket.OPEN);
  return app;
}

async function refused(app: RunningApp, { reason, what, todo, url }: Fault, times: number): Promise<void> {
  await eventually(() => warnings(app, reason).length >= times, 30_000, `the log says ${reason}`);
  const said = warnings(app, reason);
  assert.equal(said.length, times, 'once for each time that it comes');
  const { msg = '', redis } = said.at(-1) ?? {};
  assert.match(msg, what);
  assert.match(msg, todo);
  assert.equal(redis, url.replace(/:[^:@/]*@/, '@'));
  const answer = async (): Promise<string> => {
    const response = await fetch(`${app.url}/readyz`);
    return `${response.status} ${((await response.json()) as { error?: { message: string } }).error?.message}`;
  };
  const says = async (): Promise<boolean> => {
    const text = await answer();
    return [/^503 /, what, todo].every((part) => part.test(text));
  };
  await eventually(says, 30_000, `/readyz says ${msg}`);
  assert.ok((await counted(app, reason)) >= times);
}
