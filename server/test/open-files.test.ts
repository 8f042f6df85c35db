import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { RedisServer } from '../../test/support/redis.ts';
import { RelayProcess } from '../../test/support/relay.ts';
import { eventually } from '../../test/support/wait.ts';
import { ready } from './support/pairs.ts';
import { RawPeer, testToken } from './support/peer.ts';

test('files run out under traffic: connections are refused and counted, Redis is not lost, and it recovers', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'files-'));
  t.after(() => rm(directory, { recursive: true }));
  const node = join(directory, 'node');
  await writeFile(node, `#!/bin/sh\nulimit -n 120\nexec ${process.execPath} "$@"\n`);
  await chmod(node, 0o755);
  const redis = await RedisServer.start();
  t.after(() => redis.stop());
  const relay = await RelayProcess.start({ REDIS_URL: redis.url }, node);
  t.after(() => relay.stop());
  const server = await RawPeer.join(relay.url, testToken({ room: 'a', role: 'server' }));
  const client = await RawPeer.join(relay.url, testToken({ room: 'a', role: 'client' }));
  const limited = async (): Promise<number> => {
    const text = await (await fetch(`${relay.url}/metrics`)).text();
    return Number(/^rendezvous_limited_total\{limit="files"\} (\d+)/m.exec(text)?.[1] ?? 0);
  };
  const warned = (): number => relay.stdout.split('The relay rejects connections').length - 1;

  let before = 0;
  for (const round of [1, 2]) {
    const sockets: Socket[] = [];
    let closed = 0;
    for (let count = 0; count < 200; count++) {
      const socket = connect(Number(new URL(relay.url).port), '127.0.0.1');
      sockets.push(socket.on('error', () => undefined).on('close', () => closed++));
    }
    await eventually(() => closed > 80, 30_000, 'too many are refused');
    await eventually(() => warned() === round, 30_000, 'the log says it once');
    // Connections to Redis have descriptors left, and peers go on.
    const reached = (): number => relay.stdout.split('bus ready').length;
    const times = reached();
    await redis.kill();
    await redis.start();
    await eventually(() => reached() > times, 30_000, 'Redis is reached again');
    client.signal(server, round, String(round));
    await server.next('signal', ({ data }) => data === round);
    for (const socket of sockets) socket.destroy();
    await eventually(async () => ready(relay).catch(() => false), 30_000, 'it takes connections again');
    const now = await limited();
    assert.ok(now > before, `${now} were counted`);
    before = now;
    await eventually(() => relay.stdout.split('the relay accepts connections again').length === round + 1);
  }
  assert.match(relay.stdout, /"level":40.*its file descriptors are used up.*Raise the open file limit/);
  const late = await RawPeer.join(relay.url, testToken({ room: 'a', role: 'client', subject: 'late' }));
  late.socket.close();
  await once(late.socket, 'close');
});
