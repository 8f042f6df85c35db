import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { ServerMemory } from '../../../src/cli/standing-bridge/server-memory.ts';
import { settle, World } from './world.ts';

const place = ['wss://relay.example', 'desk', 'me'];
const initialize = { id: 'hello', method: 'initialize', params: { protocolVersion: '2025-11-25' } };

function directoryOf(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'memory-'));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, 'servers');
}

/** A client that has asked a server for its tools. */
async function remembered(t: TestContext): Promise<string> {
  const directory = directoryOf(t);
  const world = new World({ memory: new ServerMemory(place, directory) });
  await world.open();
  await world.send(initialize);
  await world.send({ id: 1, method: 'tools/list' });
  world.server.say({ id: 1, result: { tools: [{ name: 'echo' }] } });
  await world.send({ id: 2, method: 'tools/call' });
  world.server.say({ id: 2, result: { content: [] } });
  await settle();
  await world.bridge.close(new Error('the first one is over'));
  return directory;
}

test('a client that starts while the server sleeps gets what the server said last; calls wait', async (t) => {
  const directory = await remembered(t);
  const world = new World({ memory: new ServerMemory(place, directory) });
  await world.send(initialize);
  await world.send({ id: 1, method: 'tools/list' });
  await world.send({ id: 2, method: 'tools/call' });
  await world.clock.advance(1_999);
  assert.equal(world.toClient.length, 0);
  await world.clock.advance(1);
  await settle();
  const results = world.toClient.map((message) => 'result' in message && message.result);
  assert.deepEqual(results, [
    { protocolVersion: '2025-11-25', capabilities: { tools: { listChanged: true } } },
    { tools: [{ name: 'echo' }] },
  ]);
  await world.send({ method: 'notifications/initialized' });
  await world.open();
  assert.deepEqual(world.server.methods(), ['initialize', 'notifications/initialized', 'tools/call']);
  assert.deepEqual(world.notifications(), ['notifications/tools/list_changed']);
});

test('a server that is there answers by itself', async (t) => {
  const world = new World({ memory: new ServerMemory(place, await remembered(t)) });
  await world.send(initialize);
  await world.clock.advance(1_000);
  await world.open();
  assert.deepEqual(world.server.methods(), ['initialize']);
  assert.equal(world.answers('hello').length, 1);
});

test('another server, before the client was told anything: it is the server', async (t) => {
  const world = new World({ memory: new ServerMemory(place, await remembered(t)) });
  world.next = { peer: { subject: 'another' } };
  world.server.fail(new Error('again'));
  await settle();
  await world.clock.advance(1_000);
  await world.open();
  await world.send(initialize);
  assert.equal(world.answers('hello').length, 1);
  assert.equal(world.ending, undefined);
});

test('another version, another page, another room: nothing is remembered', async (t) => {
  const directory = await remembered(t);
  const memory = new ServerMemory(place, directory);
  const ask = (method: string, params = {}) => memory.recall({ jsonrpc: '2.0', id: 1, method, params });
  assert.ok(ask('tools/list'));
  assert.equal(ask('tools/list', { cursor: 'x' }), undefined);
  assert.equal(ask('initialize', { protocolVersion: '2025-06-18' }), undefined);
  assert.equal(ask('tools/call'), undefined);
  assert.equal(new ServerMemory(['wss://relay.example', 'other', 'me'], directory).subject, undefined);
});

test('the memory is private, and one that cannot be read is none', async (t) => {
  const directory = await remembered(t);
  const [name, ...more] = readdirSync(directory);
  assert.deepEqual(more, []);
  const file = join(directory, name!);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  writeFileSync(file, '{"subject":1}');
  assert.equal(new ServerMemory(place, directory).subject, undefined);
});
