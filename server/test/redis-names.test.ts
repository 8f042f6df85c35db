import assert from 'node:assert/strict';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { createCertificate } from '../../test/support/certificate.ts';
import { freePort } from '../../test/support/port.ts';
import { RedisServer, tlsSettings } from '../../test/support/redis.ts';
import { RelayProcess } from '../../test/support/relay.ts';
import { eventually } from '../../test/support/wait.ts';
import { ready } from './support/pairs.ts';
import { RawPeer, testToken } from './support/peer.ts';

const name = 'redis.test';

test('a host name that comes, goes and comes back: the relay says that it is missing, and follows it', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'hosts-'));
  t.after(() => rm(directory, { recursive: true }));
  const [hosts, node] = [join(directory, 'hosts'), join(directory, 'node')];
  const known = (address?: string): Promise<void> =>
    writeFile(hosts, `127.0.0.1 localhost\n${address === undefined ? '' : `${address} ${name}\n`}`);
  await known();
  // Its own /etc/hosts, in a mount namespace.
  const bind = `mount --bind ${hosts} /etc/hosts && exec ${process.execPath} "$@"`;
  await writeFile(node, `#!/bin/sh\nexec unshare --mount sh -c '${bind}' node "$@"\n`);
  await chmod(node, 0o755);
  const certificate = await createCertificate(`DNS:${name}`);
  t.after(() => certificate.remove());
  const port = await freePort();
  const redis = await RedisServer.start(tlsSettings(certificate, port));
  t.after(() => redis.stop());
  const env = { REDIS_URL: `rediss://${name}:${port}`, REDIS_CA_FILE: certificate.certFile };
  const relay = await RelayProcess.start(env, node);
  t.after(() => relay.stop());

  const said = (): number => relay.stdout.split('host name cannot be resolved').length - 1;
  await eventually(() => said() === 1);
  await known('127.0.0.1');
  await eventually(() => ready(relay), 30_000, 'the name is there');
  const peer = await RawPeer.join(relay.url, testToken({ room: 'a', role: 'server' }));
  await known();
  await redis.command('CLIENT KILL TYPE normal');
  await eventually(() => said() === 2);
  await known('127.0.0.1');
  await eventually(() => ready(relay), 30_000, 'the name is back');
  assert.equal(peer.socket.readyState, peer.socket.OPEN);
});
