import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../../../test/support/wait.ts';
import { decode, encodePing, encodePong, type Frame } from '../../src/link/frame.ts';
import { Keepalive } from '../../src/link/keepalive.ts';
import { connectLinks, note } from './carriers.ts';
import { linkToPipe } from './pipe.ts';
import { RawPeer } from './raw.ts';

const waitMs = 30_000;

test('a side that hears nothing asks, then takes the connection for lost, and finds it again', async (t) => {
  const { near, pipe } = await linkToPipe(t);
  /** The first frame of this type that comes from now on. */
  const next = async <T extends Frame['type']>(type: T) => {
    pipe.sent.length = 0;
    const find = () => pipe.sent.map((frame) => decode(frame)).find((frame) => frame.type === type);
    await eventually(() => find() !== undefined, waitMs, `a ${type} frame`);
    return find() as Extract<Frame, { type: T }>;
  };
  const { id } = await next('ping');
  pipe.put(encodePong(id));
  assert.notEqual(near.link.roundTripMs, undefined);
  await eventually(() => near.losses.length === 1, waitMs);
  assert.equal(near.losses[0]?.code, 'peer_silent');
  // Messages wait, and the question is asked again.
  let sent = false;
  const sending = near.link.send(note(1)).then(() => (sent = true));
  await next('ping');
  assert.equal(sent, false);
  pipe.sent.length = 0;
  pipe.put(encodePing(5));
  const types = pipe.sent.map((frame) => decode(frame).type);
  assert.deepEqual(types, ['data', 'pong']);
  await sending;
  assert.deepEqual([near.losses.length, near.found, near.closes], [1, 1, []]);
});

test('a probe is answered, or tells the loss at once', async (t) => {
  const { near, far, carriers } = await connectLinks(t);
  near.link.probe(20_000);
  await eventually(() => near.link.roundTripMs !== undefined, waitMs);
  assert.deepEqual([near.losses, far.losses], [[], []]);
  const raw = new RawPeer(carriers.far);
  near.link.probe(200);
  await eventually(() => near.losses.length === 1, waitMs);
  // Somebody asks again while it is lost.
  near.link.probe(200);
  raw.send(encodePing(1));
  await eventually(() => near.found === 1, waitMs);
});

/** The process does nothing, as when the machine sleeps: its timers come late. */
const sleepThrough = (ms: number) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

test('after a sleep the other side gets the time to answer', async (t) => {
  const pings: number[] = [];
  let silent: number | undefined;
  const keepalive = new Keepalive({
    ping: () => pings.push(performance.now()),
    silent: () => (silent = performance.now()),
  });
  t.after(() => keepalive.stop());
  keepalive.start();
  sleepThrough(11_000);
  const awake = performance.now();
  await eventually(() => silent !== undefined, waitMs);
  assert.ok((pings[0] ?? 0) >= awake);
  const graceMs = (silent ?? 0) - awake;
  assert.ok(graceMs >= 2_900, `${graceMs} ms`);
});

test('a question that is the end is the last one', async (t) => {
  const pings: number[] = [];
  const keepalive = new Keepalive({
    ping: (id) => {
      pings.push(id);
      keepalive.stop(); // as when the channel does not take it, and the session ends with that
    },
    silent: () => assert.fail('nobody waits for an answer'),
  });
  t.after(() => keepalive.stop());
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  keepalive.start();
  const before = timers();
  keepalive.probe(1_000);
  assert.deepEqual([pings.length, timers()], [1, before - 1]);
});
