import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { readClaims, readConnection, readIceServers } from '../../src/cli/connection-flags.ts';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';

test('a token of the environment is a fixed one, and that of a file is read again', async (t) => {
  const key = 'a secret that is at least 32 bytes long';
  const token = await createRoomToken({ key, room: 'desk', role: 'client', subject: 'c', ttl: 60 });
  const relay = 'wss://relay.example';
  const env = { MCP_RENDEZVOUS_TOKEN: `${token}\n` };
  assert.deepEqual(await readConnection({ relay }, env, 'client'), { relay, token, room: 'desk', subject: 'c' });
  const directory = mkdtempSync(join(tmpdir(), 'options-'));
  t.after(() => rmSync(directory, { recursive: true }));
  const tokenFile = join(directory, 'token');
  writeFileSync(tokenFile, token);
  const { token: source } = await readConnection({ relay, tokenFile }, {}, 'client');
  assert.ok(typeof source === 'function');
  writeFileSync(tokenFile, 'another');
  assert.equal(await source(), 'another');
});

test('the servers of --ice-server take their user from variables, and never from the command line', () => {
  const turn = { MCP_RENDEZVOUS_TURN_USERNAME: '1790000000:ada', MCP_RENDEZVOUS_TURN_PASSWORD: 'p:w' };
  const [stun, udp, tls] = ['stun:a.example', 'turn:b.example:3478?transport=udp', 'turns:[2001:db8::1]:443'];
  const user = { username: '1790000000:ada', credential: 'p:w' };
  assert.deepEqual(readIceServers({}, turn), {});
  assert.deepEqual(readIceServers({ iceServer: [stun] }, {}), { iceServers: [{ urls: stun }] });
  assert.deepEqual(readIceServers({ iceServer: [stun, udp, tls] }, turn), {
    iceServers: [{ urls: stun }, { urls: udp, ...user }, { urls: tls, ...user }],
  });
  for (const url of ['https://a.example', 'turn:', 'a.example', 'turn:a b']) {
    assert.throws(() => readIceServers({ iceServer: [url] }, turn), { code: 'bad_option' });
  }
  assert.throws(() => readIceServers({ iceServer: [udp] }, {}), /MCP_RENDEZVOUS_TURN_USERNAME/);
  assert.throws(
    () => readIceServers({ iceServer: ['turn:ada:hunter2@a.example'] }, turn),
    (error: Error) => !error.message.includes('hunter2') && error.message.includes('leaked'),
  );
});

suite('tokens of an identity provider', () => {
  const relay = 'wss://relay.example';
  const mapping = { room: 'https://app.example/room', role: ['app', 'role'] };
  const flags = { relay, claims: JSON.stringify(mapping) };
  const tokenOf = (claims: object): string => {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    return `${part({ alg: 'ES256' })}.${part(claims)}.x`;
  };
  const claims = { sub: 'ada', exp: 4_000_000_000, 'https://app.example/room': 'desk', app: { role: 'client' } };
  const env = { MCP_RENDEZVOUS_TOKEN: tokenOf(claims) };

  test('--claims says where role, room and subject are', async () => {
    const connection = await readConnection(flags, env, 'client');
    const { MCP_RENDEZVOUS_TOKEN: token } = env;
    assert.deepEqual(connection, { relay, token, claims: mapping, room: 'desk', subject: 'ada' });
    await assert.rejects(readConnection(flags, env, 'server'), /has the role "client", but this command needs/);
  });

  test('without it the error names it', async () => {
    await assert.rejects(readConnection({ relay }, env, 'client'), /pass the relay's mapping with --claims/);
  });

  test('what is no mapping is refused, with what one looks like', () => {
    const place = fc.oneof(fc.string({ minLength: 1 }), fc.array(fc.string({ minLength: 1 }), { minLength: 1 }));
    fc.assert(
      fc.property(
        fc.record({ room: place, role: place, sub: place }, { requiredKeys: [], noNullPrototype: true }),
        (wanted) => {
          assert.deepEqual(readClaims(JSON.stringify(wanted)), wanted);
        },
      ),
    );
    for (const wrong of [
      '',
      'room',
      '[]',
      'null',
      '7',
      '{"room":""}',
      '{"room":[]}',
      '{"room":[1]}',
      '{"scope":"s"}',
      '{"sub":null}',
    ]) {
      assert.throws(
        () => readClaims(wrong),
        /no mapping\. It is what the relay has in `claims` of RELAY_ISSUERS_FILE/,
        wrong,
      );
    }
  });
});
