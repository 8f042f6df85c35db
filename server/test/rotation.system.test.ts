import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { generateKeyPair, type GenerateKeyPairResult, exportJWK } from 'jose';
import { createRoomToken, type RoomTokenOptions } from 'mcp-rendezvous-protocol/token';
import { RelayProcess } from '../../test/support/relay.ts';
import { eventually } from '../../test/support/wait.ts';
import { Operator } from './support/operator.ts';
import { RawPeer } from './support/peer.ts';

const [old, fresh] = ['the secret that is on its way out, and long', 'the secret that takes its place, and is long'];
const deadlineMs = 30_000;

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'rotation-'));
  t.after(() => rm(path, { recursive: true }));
  return path;
}

/** A volume as Kubernetes mounts a Secret: what changes is a link above the file. */
async function volume(t: TestContext, name: string, content: string) {
  const path = await folder(t);
  let version = 0;
  const write = async (text: string): Promise<void> => {
    const data = `..${++version}`;
    await mkdir(join(path, data));
    await writeFile(join(path, data, name), text);
    await symlink(data, join(path, '..new'));
    await rename(join(path, '..new'), join(path, '..data'));
  };
  await write(content);
  await symlink(join('..data', name), join(path, name));
  return { file: join(path, name), write };
}

let peers = 0;
/** Whether the relay takes a token with this key: a new one each time. */
async function takes(relay: string, key: RoomTokenOptions['key'], issuer?: string): Promise<boolean> {
  const name = `p${++peers}`;
  const token = createRoomToken({
    key,
    room: name,
    role: 'server',
    subject: name,
    ttl: '1m',
    ...(issuer && { issuer }),
  });
  const peer = await RawPeer.open(relay);
  peer.send({ type: 'join', token: await token });
  await eventually(() => peer.frames.length > 0, deadlineMs, 'an answer to the join');
  const [answer] = peer.frames;
  peer.cut();
  if (answer?.type === 'joined') return true;
  assert.ok(answer?.type === 'error' && /^token_(invalid|wrong_issuer)$/.test(answer.code), JSON.stringify(answer));
  return false;
}

const outdated = async (relay: string): Promise<string | undefined> =>
  /^rendezvous_keys_outdated (\d)/m.exec(await (await fetch(`${relay}/metrics`)).text())?.[1];

test('a secret is replaced while the relay runs: two are valid meanwhile, and who is in stays in', async (t) => {
  const { file, write } = await volume(t, 'relay-secret', `${old}\n`);
  const admin = 'the-token-of-the-operator';
  const relay = await RelayProcess.start({ RELAY_SECRET: '', RELAY_SECRET_FILE: file, ADMIN_TOKEN: admin });
  t.after(() => relay.stop());
  const insider = await RawPeer.join(
    relay.url,
    createRoomToken({ key: old, room: 'a', role: 'server', subject: 's', ttl: '1h' }),
  );
  assert.deepEqual([await takes(relay.url, old), await takes(relay.url, fresh)], [true, false]);

  await write(`${fresh}\n${old}\n`);
  await eventually(() => takes(relay.url, fresh), deadlineMs, 'the new secret counts');
  assert.equal(await takes(relay.url, old), true);
  // Signs with the first one.
  const body = { room: 'b', role: 'client', sub: 'c' };
  const signed = (await new Operator(relay.url, admin).ask('POST', '/v1/tokens', body)).body as { token: string };
  const client = await RawPeer.join(relay.url, signed.token);

  await write(`${fresh}\n`);
  await eventually(async () => !(await takes(relay.url, old)), deadlineMs, 'the old secret is out');
  assert.equal(await takes(relay.url, fresh), true);
  insider.send({ type: 'ping' });
  client.send({ type: 'ping' });
  await Promise.all([insider.next('pong'), client.next('pong')]);
  // But it has to bring a token of the new secret next time.
  insider.send({
    type: 'token',
    token: await createRoomToken({ key: old, room: 'a', role: 'server', subject: 's', ttl: '2h' }),
  });
  assert.equal(await insider.refusal(), 'token_invalid');
  assert.ok(!`${relay.stdout}${relay.stderr}`.includes(fresh));
});

test('a file that cannot be used is named, and the keys before stay in force until it can', async (t) => {
  const { file, write } = await volume(t, 'issuers.json', JSON.stringify([{ issuer: 'one', secret: old }]));
  const relay = await RelayProcess.start({ RELAY_SECRET: '', RELAY_ISSUERS_FILE: file });
  t.after(() => relay.stop());
  assert.equal(await outdated(relay.url), '0');

  await write('[{ "issuer": "two", "secret": "hunter2" }]');
  await eventually(async () => (await outdated(relay.url)) === '1', deadlineMs, 'the problem is seen');
  await eventually(() => /0\.secret is too short.*previous keys stay in force/.test(relay.stdout), deadlineMs);
  assert.ok(!relay.stdout.includes('hunter2'));
  assert.equal(await takes(relay.url, old, 'one'), true);

  const keys: GenerateKeyPairResult = await generateKeyPair('ES256', { extractable: true });
  const issuers = [
    { issuer: 'one', secret: [fresh, old] },
    { issuer: 'two', jwks: { keys: [await exportJWK(keys.publicKey)] } },
  ];
  await write(JSON.stringify(issuers));
  await eventually(() => takes(relay.url, keys.privateKey, 'two'), deadlineMs, 'the new issuer counts');
  assert.equal(await outdated(relay.url), '0');
  assert.deepEqual([await takes(relay.url, old, 'one'), await takes(relay.url, fresh, 'one')], [true, true]);
  assert.deepEqual([await takes(relay.url, old, 'two'), await takes(relay.url, old)], [false, false]);
});

test('a plain file that is written in place, removed and made anew is followed, too', async (t) => {
  const file = join(await folder(t), 'relay-secret');
  await writeFile(file, old);
  const relay = await RelayProcess.start({ RELAY_SECRET: '', RELAY_SECRET_FILE: file });
  t.after(() => relay.stop());
  await rm(file);
  await eventually(async () => (await outdated(relay.url)) === '1', deadlineMs, 'that it is gone is seen');
  assert.equal(await takes(relay.url, old), true);
  await writeFile(file, fresh);
  await eventually(() => takes(relay.url, fresh), deadlineMs, 'the new secret counts');
  assert.deepEqual([await outdated(relay.url), await takes(relay.url, old)], ['0', false]);
});
