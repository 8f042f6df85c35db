import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import {
  type Arbitrary,
  array,
  assert as check,
  asyncProperty,
  constant,
  constantFrom,
  json,
  nat,
  oneof,
  record,
  string,
  tuple,
  uint8Array,
} from 'fast-check';
import { closeCodes, codeOf, subprotocol } from 'mcp-rendezvous-protocol';
import { WebSocket } from 'ws';
import { RawPeer, testToken } from '../../server/test/support/peer.ts';
import { damaged, jsonName, jsonObject, jsonText } from '../support/hostile-json.ts';
import { lowestNode, RelayProcess } from '../support/relay.ts';
import { within } from '../support/wait.ts';

/**
 * Frames sent at least; the full run is `HOSTILE_FRAMES=100000 npm run test:all --
 * "test/hostile/*.test.ts"`.
 */
const wanted = Number(process.env['HOSTILE_FRAMES'] ?? 4_000);
const seed = Number(process.env['HOSTILE_SEED'] ?? Date.now() % 1_000_000);

/** The last one is a text message that may not be UTF-8. */
type Sent = { text: string } | { binary: Uint8Array } | { value: string; bytes: Uint8Array };

const quoted = (text: string): string => JSON.stringify(text);

/**
 * Frames with any JSON in any place: members of other values, more members, renamed ones, the same
 * one again, in any order.
 */
function structured(token: string, peer: string): Arbitrary<string> {
  const frame = constantFrom<[string, string][]>(
    [
      ['"type"', '"join"'],
      ['"token"', quoted(token)],
    ],
    [
      ['"type"', '"join"'],
      ['"token"', quoted(token)],
      ['"signal"', '{"id":"1","data":[]}'],
    ],
    [
      ['"type"', '"signal"'],
      ['"id"', '"1"'],
      ['"to"', quoted(peer)],
      ['"data"', '{}'],
    ],
    [
      ['"type"', '"token"'],
      ['"token"', quoted(token)],
    ],
    [['"type"', '"ping"']],
  );
  const change = tuple(constantFrom('data', 'value', 'add', 'rename', 'repeat', 'inside'), nat(), jsonName, jsonText);
  const changed = tuple(frame, array(change, { maxLength: 3 }), constantFrom('', '', ' ', '\n')).map(
    ([original, changes, gap]) => {
      const members = original.map(([name, value]): [string, string] => [name, value]);
      for (const [how, at, name, value] of changes) {
        const place = at % members.length;
        const [oldName, oldValue] = members[place] ?? ['""', 'null'];
        const data = members.find(([known]) => known === '"data"');
        if (how === 'data' && data) data[1] = value;
        if (how === 'value') members[place] = [oldName, value];
        if (how === 'add') members.splice(place, 0, [name, value]);
        if (how === 'rename') members[place] = [name, oldValue];
        if (how === 'repeat') members.splice(place, 0, [oldName, value]);
        if (how === 'inside')
          members[place] = [
            oldName,
            jsonObject([
              ['"id"', '"1"'],
              ['"data"', value],
              [name, value],
            ]),
          ];
      }
      return jsonObject(members, gap);
    },
  );
  return damaged(changed);
}

/** Signals with any data, most of which the relay has to pass on. */
const anyData = (peer: string): Arbitrary<Sent> =>
  jsonText.map((data) => ({ text: `{"type":"signal","id":"1","to":"${peer}","data":${data}}` }));

/** Frames that are right, nearly right and not at all; `peer` is somebody else's id. */
function frames(token: string, peer: string): Arbitrary<Sent> {
  const valid = oneof(
    constant({ type: 'join', token }),
    constant({ type: 'join', token: `${token}x` }),
    record({ type: constant('join'), token: constant(token), resume: string({ maxLength: 300 }) }),
    record({ type: constant('join'), token: constant(token), process: string({ maxLength: 80 }) }),
    record({
      type: constant('signal'),
      id: string({ maxLength: 70 }),
      to: constantFrom(peer, 'p-x', ''),
      data: json(),
    }),
    constant({ type: 'token', token }),
    constant({ type: 'leave' }),
    record({ type: string() }),
  );
  const text = oneof(
    { weight: 4, arbitrary: structured(token, peer) },
    valid.map((frame) => JSON.stringify(frame)),
    // one place of a valid frame overwritten, or the frame cut short
    tuple(valid, nat(), string({ maxLength: 3 })).map(([frame, at, other]) => {
      const whole = JSON.stringify(frame);
      const place = at % whole.length;
      return whole.slice(0, place) + other + whole.slice(place + other.length);
    }),
    tuple(valid, nat()).map(([frame, at]) => JSON.stringify(frame).slice(0, at % 80)),
    json({ maxDepth: 6 }),
    string({ unit: 'binary', maxLength: 200 }),
    constantFrom('', 'null', '[]', '{"__proto__":{"type":"join"}}', '['.repeat(5_000), '{"type":"join"'),
  );
  return oneof(
    { weight: 12, arbitrary: text.map((value) => ({ text: value })) },
    { weight: 1, arbitrary: uint8Array({ maxLength: 64 }).map((binary) => ({ binary })) },
    { weight: 1, arbitrary: tuple(text, uint8Array({ maxLength: 3 })).map(([value, bytes]) => ({ value, bytes })) },
  );
}

interface Attack {
  /** To join with before all else, if at all. */
  token: string | undefined;
  frames: Sent[];
}

/**
 * Sends the frames on a socket of their own; resolves with the close number, or undefined when the
 * socket is still open.
 */
async function attack(url: string, { token, frames: sequence }: Attack): Promise<number | undefined> {
  const socket = new WebSocket(`${url}/v1/connect`, subprotocol);
  socket.on('error', () => {}); // the relay may end it in the middle of a frame
  const closed = new Promise<number>((resolve) => {
    socket.on('close', resolve);
  });
  await within(new Promise((resolve) => socket.once('open', resolve)), 'the socket opens');
  if (token !== undefined) {
    const joined = new Promise((resolve) => socket.once('message', resolve));
    socket.send(JSON.stringify({ type: 'join', token, process: randomUUID() }));
    await within(joined, 'the relay lets the peer join');
  }
  for (const frame of sequence) {
    if ('value' in frame) socket.send(Buffer.concat([Buffer.from(frame.value), frame.bytes]), { binary: false });
    else socket.send('text' in frame ? frame.text : frame.binary);
  }
  // A ping behind them all: its pong says that the relay has read them, if it has not closed the
  // socket.
  const answered = new Promise<undefined>((resolve) => {
    socket.once('pong', () => resolve(undefined));
  });
  socket.ping();
  const number = await within(Promise.race([closed, answered]), 'an answer from the relay');
  socket.terminate();
  return number;
}

const memory = async (pid: number): Promise<number> =>
  Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;

for (const node of [process.execPath, lowestNode]) {
  const version = execFileSync(node, ['--version']).toString().trim();
  const title = `${wanted} hostile frames (seed ${seed}) leave a relay on Node ${version} and a pair beside them unharmed`;
  test(title, { timeout: 600_000 }, async (t) => {
    const relay = await RelayProcess.start(
      {
        JOIN_TIMEOUT_MS: '60000',
        RESUME_WINDOW_MS: '1000',
        // The pair talks as fast as it can.
        MAX_MESSAGES_PER_SECOND: '100000',
      },
      node,
    );
    t.after(() => relay.stop('SIGKILL'));
    const server = await RawPeer.join(relay.ws, testToken({ room: 'good', role: 'server' }));
    const client = await RawPeer.join(relay.ws, testToken({ room: 'good', role: 'client' }));
    await server.sees(client, 'online');
    t.after(() => [server, client].forEach((peer) => peer.cut()));

    // What the hostile peers send to this one comes through.
    const victim = await RawPeer.join(relay.ws, testToken({ room: 'bad', role: 'server' }));
    t.after(() => victim.cut());
    let passed = 0;

    // The well-behaved pair talks all the time: each signal is sent when the one before has
    // arrived.
    let talking = true;
    let exchanged = 0;
    const talk = (async () => {
      while (talking) {
        const data = { n: exchanged };
        client.signal(server, data);
        assert.deepEqual((await server.next('signal')).data, data);
        server.signal(client, data);
        assert.deepEqual((await client.next('signal')).data, data);
        exchanged++;
      }
    })();

    const token = await testToken({ room: 'bad', role: 'client', subject: 'mallory' });
    const known = new Set<number>([1000, 1009, 1007, ...Object.values(closeCodes)]);
    let sent = 0;
    let before = 0;
    const sequences: Arbitrary<Attack> = record({
      token: constantFrom(undefined, token),
      frames: array(oneof(frames(token, server.id), frames(token, victim.id), anyData(victim.id)), {
        minLength: 1,
        maxLength: 12,
      }),
    });
    const property = asyncProperty(array(sequences, { minLength: 8, maxLength: 8 }), async (batch) => {
      for (const number of await Promise.all(batch.map((one) => attack(relay.ws, one)))) {
        if (number !== undefined) assert(known.has(number), `close ${number} ${codeOf(number)} is not of the protocol`);
        assert.notEqual(number, closeCodes.internal);
      }
      sent += batch.flatMap((one) => one.frames).length;
      assert(!relay.exited, 'the relay has crashed');
      assert.equal(victim.socket.readyState, WebSocket.OPEN);
      passed += victim.frames.splice(0).filter(({ type }) => type === 'signal').length;
    });
    const rounds = Math.ceil(wanted / 40);
    for (let round = 0; sent < wanted; round++) {
      await check(property, { numRuns: Math.ceil(rounds / 4), seed: seed + round, endOnFailure: true });
      if (round === 0) before = await memory(relay.pid);
    }
    talking = false;
    await talk;

    const after = await memory(relay.pid);
    const health = await fetch(`${relay.url}/healthz`);
    assert.equal(health.status, 200);
    assert(passed > wanted / 100, `only ${passed} signals of theirs were passed on`);
    assert(exchanged > 10, `the pair exchanged only ${exchanged} signals`);
    assert.deepEqual([server.frames, client.frames].flat(), [], 'the pair heard nothing of it');
    // The collector has its own pace; a leak of one frame each would be far more over a full run.
    assert(after < before + 120, `memory grew from ${before.toFixed()} to ${after.toFixed()} MB`);
    assert.doesNotMatch(relay.stdout + relay.stderr, /"level":(50|60)/, 'the relay logged an error');
    t.diagnostic(
      `${sent} frames, ${exchanged} signals of the pair beside, ${before.toFixed()} → ${after.toFixed()} MB`,
    );
  });
}
