import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { eventually } from '../../../test/support/wait.ts';
import { type RunningApp, startApp } from './app.ts';
import { RawPeer, testToken } from './peer.ts';

export const ready = async ({ url }: Pick<RunningApp, 'url'>): Promise<boolean> =>
  (await fetch(`${url}/readyz`)).status === 200;

async function instance(t: TestContext, env: Record<string, string>): Promise<RunningApp> {
  const app = await startApp(t, { LEASE_MS: '3000', ...env });
  await eventually(() => ready(app));
  return app;
}

type Pair = [server: RawPeer, client: RawPeer];

/**
 * Instances with that bus, and in each of several rooms a server on one of them and a client on
 * another.
 */
export async function paired(t: TestContext, env: Record<string, string>, count = 2) {
  const apps = await Promise.all(Array.from({ length: count }, () => instance(t, env)));
  const pairs: Pair[] = [];
  // Enough rooms and instances that every node has a part of them.
  for (let n = 0; n < 12; n++) {
    const at = (index: number): string => apps[index % count]?.url ?? '';
    const server = await RawPeer.join(at(n), testToken({ room: `room ${n}`, role: 'server' }));
    const client = await RawPeer.join(at(n + 1), testToken({ room: `room ${n}`, role: 'client' }));
    await server.sees(client, 'online');
    pairs.push([server, client]);
  }
  return { apps, pairs };
}

let signals = 0;

/** Signals both ways in every room, again as long as the relay says `unavailable` or `absent`. */
export async function allSignal(pairs: Pair[], deadlineMs = 30_000): Promise<void> {
  const deliver = async (from: RawPeer, to: RawPeer): Promise<void> => {
    const data = ++signals;
    const arrived = (): boolean => to.frames.some((frame) => frame.type === 'signal' && frame.data === data);
    await eventually(async () => {
      from.signal(to, data, String(data));
      const heard = (): boolean =>
        arrived() || from.frames.some((frame) => frame.type === 'outcome' && frame.id === String(data));
      // One that was on its way when a node died has no outcome; it is the sender's to send it
      // again.
      await eventually(heard, 500).catch(() => undefined);
      from.frames.splice(0);
      return arrived();
    }, deadlineMs);
    to.frames.splice(0);
  };
  await Promise.all(pairs.map(([server, client]) => deliver(client, server)));
  await Promise.all(pairs.map(([server, client]) => deliver(server, client)));
}

/**
 * Signals in every room again and again, as traffic is there when a fault comes.
 *
 * @returns ends it; rejects when a signal could not be delivered at all
 */
export function traffic(pairs: Pair[]): () => Promise<void> {
  let ended = false;
  const running = (async () => {
    while (!ended) await allSignal(pairs, 60_000);
  })();
  return async () => {
    ended = true;
    await running;
  };
}

/** Nobody has lost a socket or the room, and there is room for more. */
export async function goesOn(apps: RunningApp[], pairs: Pair[], deadlineMs = 30_000): Promise<void> {
  await eventually(async () => (await Promise.all(apps.map(ready))).every(Boolean), deadlineMs);
  await allSignal(pairs);
  const late = await RawPeer.join(apps[1]?.url ?? '', testToken({ room: 'room 0', role: 'client', subject: 'late' }));
  assert.equal(late.joined.peers[0]?.id, pairs[0]?.[0].id);
  for (const { socket } of pairs.flat()) assert.equal(socket.readyState, socket.OPEN);
}
