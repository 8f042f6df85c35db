import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { eventually } from '../../../test/support/wait.ts';
import { decode, encodePing, encodePong } from '../../src/link/frame.ts';
import { impatient, Keepalive } from '../../src/link/keepalive.ts';
import { connectLinks, note } from './carriers.ts';
import { ManualClock } from '../manual-clock.ts';
import { linkToPipe } from './pipe.ts';
import { RawPeer } from './raw.ts';

const waitMs = 30_000;

test('a side that hears nothing asks, then takes the connection for lost, and finds it again', async (t) => {
  const clock = new ManualClock();
  const { near, pipe } = await linkToPipe(t, { clock });
  /** The frames that were sent since the last call. */
  const sent = () => pipe.sent.splice(0).map((frame) => decode(frame));
  const pings = () => sent().flatMap((frame) => (frame.type === 'ping' ? [frame.id] : []));
  sent(); // HELLO
  await clock.advance(2_999);
  assert.deepEqual(pings(), []);
  await clock.advance(1);
  const [id] = pings();
  assert.notEqual(id, undefined);
  await clock.advance(40);
  pipe.put(encodePong(id!));
  assert.equal(near.link.roundTripMs, 40);
  await clock.advance(7_999);
  assert.equal(pings().length, 2, 'every 3 s');
  assert.deepEqual(near.losses, []);
  await clock.advance(1);
  assert.deepEqual(
    near.losses.map(({ code, message }) => [code, message]),
    [['peer_silent', 'Received nothing from the other peer for 8 s.']],
  );
  // Messages wait, and the question is asked again.
  let taken = false;
  const sending = near.link.send(note(1)).then(() => (taken = true));
  await clock.advance(30_000);
  assert.equal(pings().length, 10);
  assert.equal(taken, false);
  pipe.put(encodePing(5));
  assert.deepEqual(
    sent().map(({ type }) => type),
    ['data', 'pong'],
  );
  await sending;
  assert.deepEqual([near.losses.length, near.found, near.closes], [1, 1, []]);
});

test('a PONG that answers an older PING measures nothing', async (t) => {
  const clock = new ManualClock();
  const { near, pipe } = await linkToPipe(t, { clock });
  near.link.probe(5_000);
  near.link.probe(5_000);
  const [first, second] = pipe.sent.map((frame) => decode(frame)).flatMap((frame) => ('id' in frame ? [frame.id] : []));
  await clock.advance(10);
  pipe.put(encodePong(first!));
  assert.equal(near.link.roundTripMs, undefined);
  pipe.put(encodePong(second!));
  await clock.advance(10);
  pipe.put(encodePong(second!));
  assert.equal(near.link.roundTripMs, 10);
});

test('a probe is answered, or tells the loss at once', async (t) => {
  // The other side gives no sign by itself, which would be an answer as well.
  const { near, far, carriers } = await connectLinks(t, {}, { clock: new ManualClock() });
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

test('a path is in doubt while a PING is not answered, before it is taken for dead', async () => {
  const clock = new ManualClock();
  const told: [string, number][] = [];
  const begun = clock.now();
  const tell = (what: string) => () => void told.push([what, clock.now() - begun]);
  const keepalive = new Keepalive({ ping: tell('ping'), doubtful: tell('doubtful'), silent: tell('silent') }, clock);
  keepalive.start(impatient);
  await clock.advance(1_500);
  keepalive.heard(); // whatever it is
  await clock.advance(10_000);
  assert.deepEqual(told.slice(0, 5), [
    ['ping', 1_200],
    ['ping', 2_700],
    ['doubtful', 3_900],
    ['ping', 3_900],
    ['silent', 4_500],
  ]);
  // What is known to be dead is in no doubt.
  assert.equal(told.filter(([what]) => what === 'doubtful').length, 1);
  keepalive.stop();
});

void suite('after a sleep', () => {
  /** A keepalive whose process wakes up after the other side's time was over. */
  async function awake() {
    const clock = new ManualClock();
    const pings: number[] = [];
    const silences: number[] = [];
    const keepalive = new Keepalive(
      { ping: () => pings.push(clock.now()), doubtful: () => {}, silent: (afterMs) => silences.push(afterMs) },
      clock,
    );
    keepalive.start();
    clock.sleep(11_000);
    const wokenAt = clock.now();
    await clock.advance(0);
    assert.deepEqual([pings, silences], [[wokenAt], []]);
    return { clock, keepalive, silences };
  }

  test('the other side gets the time to answer, once', async () => {
    const { clock, silences } = await awake();
    await clock.advance(2_999);
    assert.deepEqual(silences, []);
    await clock.advance(1);
    assert.deepEqual(silences, [14_000]);
  });

  test('an answer is enough', async () => {
    const { clock, keepalive, silences } = await awake();
    await clock.advance(2_000);
    keepalive.heard();
    await clock.advance(7_999);
    assert.deepEqual(silences, []);
    await clock.advance(1);
    assert.deepEqual(silences, [8_000]);
  });
});

test('a timer that work delays is no sleep', async () => {
  const clock = new ManualClock();
  const silences: number[] = [];
  const owner = { ping: () => {}, doubtful: () => {}, silent: (afterMs: number) => silences.push(afterMs) };
  const keepalive = new Keepalive(owner, clock);
  keepalive.start();
  await clock.advance(7_000);
  clock.sleep(2_500);
  await clock.advance(0);
  assert.deepEqual(silences, [9_500]);
});

test('a question that is the end is the last one', () => {
  const clock = new ManualClock();
  const pings: number[] = [];
  const keepalive = new Keepalive(
    {
      ping: (id) => {
        pings.push(id);
        keepalive.stop(); // as when the channel does not take it, and the session ends with that
      },
      doubtful: () => {},
      silent: () => assert.fail('nobody waits for an answer'),
    },
    clock,
  );
  keepalive.start();
  keepalive.probe(1_000);
  assert.deepEqual([pings.length, clock.timers], [1, 0]);
});
