import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sampled } from '../../../test/support/full.ts';
import { eventually } from '../../../test/support/wait.ts';
import { encodeAuth, encodeClose } from '../../src/link/frame.ts';
import { SendQueue } from '../../src/link/send-receive-window.ts';
import { randomBase64Url } from '../../src/util/random.ts';
import {
  attachBoth,
  type Carriers,
  connectCarriers,
  connectLinks,
  type LinkPair,
  note,
  numbers,
  Recorder,
  upTo,
} from './carriers.ts';
import { ManualClock } from '../manual-clock.ts';
import { joinPipes, type PipeEnd } from './pipe.ts';
import { RawPeer } from './raw.ts';

const waitMs = 30_000;

/** Numbers in [0, 1) that are the same for the same seed: mulberry32. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

async function attachNew(t: TestContext, pair: LinkPair): Promise<Carriers> {
  const carriers = await connectCarriers(t);
  await attachBoth(pair, carriers);
  return carriers;
}

/** Both ways still work. */
async function works({ near, far }: LinkPair): Promise<void> {
  const before = near.messages.length + far.messages.length;
  await near.link.send(note(-1));
  await far.link.send(note(-2));
  await eventually(() => near.messages.length + far.messages.length === before + 2, waitMs);
  assert.deepEqual([near.messages.at(-1), far.messages.at(-1)], [note(-2), note(-1)]);
  assert.deepEqual([near.closes, far.closes], [[], []]);
}

/** Two links talk while the pipes under them are cut, replaced and torn; then they close. */
async function rehearse(seed: number): Promise<void> {
  const next = random(seed);
  const turns = async (most: number) => {
    for (let left = next() * most; left > 0; left--) await new Promise((resolve) => setImmediate(resolve));
  };
  const near = new Recorder({ offerer: true });
  const far = new Recorder({ offerer: false });
  const attach = ([one, other]: [PipeEnd, PipeEnd]) => [near.link.attach(one.carrier), far.link.attach(other.carrier)];
  let pipes = joinPipes(next);
  await Promise.all(attach(pipes));
  const count = 60;
  const talk = async ({ link }: Recorder) => {
    for (const n of upTo(count)) {
      if (next() < 0.3) await turns(30);
      await link.send(note(n, 'ö'.repeat(next() < 0.15 ? next() * 150_000 : 5)));
    }
  };
  const talking = Promise.all([talk(near), talk(far)]);
  for (const _ of upTo(12)) {
    await turns(60);
    const kind = next();
    if (kind < 0.4) {
      pipes[next() < 0.5 ? 0 : 1].close();
      await turns(10);
    } else if (kind < 0.7) {
      const torn = joinPipes(next);
      for (const attempt of attach(torn)) attempt.catch(({ code }) => assert.match(code, /^(peer_gone|aborted)$/));
      await turns(12);
      torn[next() < 0.5 ? 0 : 1].close();
    }
    pipes = joinPipes(next);
    await Promise.all(attach(pipes));
  }
  const what = `LINK_SEED=${seed}`;
  await talking;
  await eventually(() => near.messages.length >= count && far.messages.length >= count, waitMs, what);
  assert.deepEqual([numbers(near.messages), numbers(far.messages)], [upTo(count), upTo(count)], what);
  const both = next();
  if (both < 0.6) void near.link.close();
  if (both > 0.3) void far.link.close();
  await eventually(() => near.closes.length + far.closes.length === 2, waitMs, what);
  assert.deepEqual([near.closes, far.closes], [[undefined], [undefined]], what);
  await Promise.all([near.link.close(), far.link.close()]);
  assert.ok(!pipes[0].open && !pipes[1].open, what);
}

void suite('a session outlives its connection', () => {
  const seed = Number(process.env['LINK_SEED'] ?? Date.now() % 1_000_000);

  test(`every message arrives once and in order, whenever connections are cut (LINK_SEED=${seed})`, async (t) => {
    const next = random(seed);
    const upToMs = (ms: number) => sleep(next() * ms);
    const { carriers: first, ...pair } = await connectLinks(t);
    let carriers = first;
    const count = 120;
    const talk = async (from: 'near' | 'far') => {
      for (const n of upTo(count)) {
        // Some are cut into parts, and in some pauses everything is acknowledged.
        if (next() < 0.1) await upToMs(40);
        await pair[from].link.send(note(n, 'ö'.repeat(next() < 0.15 ? next() * 150_000 : 50)));
      }
    };
    const talking = Promise.all([talk('near'), talk('far')]);
    const rounds = { cut: 0, replaced: 0, torn: 0 };
    for (const _ of upTo(6)) {
      await upToMs(40);
      const kind = next();
      if (kind < 0.5) {
        rounds.cut += 1;
        await carriers[next() < 0.5 ? 'near' : 'far'].connection.close();
        await upToMs(20);
      } else if (kind < 0.75) rounds.replaced += 1;
      else {
        // A connection that dies during its handshake or right after it: one side may have
        // succeeded.
        rounds.torn += 1;
        const torn = await connectCarriers(t);
        for (const side of ['near', 'far'] as const) {
          // A side that does not notice learns it from the next one, which wins.
          pair[side].link.attach(torn[side]).catch(({ code }) => assert.match(code, /^(peer_gone|aborted)$/));
        }
        await upToMs(8);
        await torn[next() < 0.5 ? 'near' : 'far'].connection.close();
      }
      carriers = await attachNew(t, pair);
    }
    const { near, far } = pair;
    const lost = () => near.lost || far.lost;
    while (near.messages.length < count || far.messages.length < count) {
      // On a busy machine a connection may be silent for so long that it counts as lost.
      if (lost()) await attachNew(t, pair);
      await eventually(() => lost() || (near.messages.length >= count && far.messages.length >= count), 60_000);
    }
    await talking;
    assert.deepEqual(numbers(near.messages), upTo(count));
    assert.deepEqual(numbers(far.messages), upTo(count));
    assert.deepEqual([near.errors, far.errors], [[], []]);
    t.diagnostic(JSON.stringify(rounds));
  });

  test(`the same in any order of events, over pipes (LINK_SEED=${seed})`, async () => {
    for (let run = 0; run < sampled(30); run++) await rehearse(seed + run);
  });

  test('the loss is told once, and that it is found again', async (t) => {
    const { near, far, carriers } = await connectLinks(t);
    await carriers.far.connection.close();
    await eventually(() => near.losses.length === 1 && far.losses.length === 1, waitMs);
    assert.equal(near.losses[0]?.code, 'peer_gone');
    const waiting = near.link.send(note(7));
    await attachNew(t, { near, far });
    await waiting;
    await eventually(() => far.messages.length === 1, waitMs);
    await works({ near, far });
    assert.deepEqual(far.messages, [note(7), note(-1)]);
    assert.deepEqual([near.losses.length, near.found, far.losses.length, far.found], [1, 1, 1, 1]);
    assert.notEqual(carriers.near.connection.connectionState, 'connected');
  });

  test('the old connection is closed when a new one has taken its place', async (t) => {
    const { near, far, carriers } = await connectLinks(t);
    await attachNew(t, { near, far });
    for (const { channel } of [carriers.near, carriers.far]) {
      await eventually(() => channel.readyState === 'closed', waitMs);
    }
    await works({ near, far });
  });

  test('another peer cannot take over: a wrong proof leaves the old connection as it was', async (t) => {
    const { near, far, carriers } = await connectLinks(t);
    for (const side of [near, far]) {
      const other = await connectCarriers(t);
      const raw = new RawPeer(other.far);
      raw.hello({ session: near.link.session });
      raw.send(encodeAuth(crypto.getRandomValues(new Uint8Array(32))));
      await assert.rejects(side.link.attach(other.near), { code: 'secret_mismatch' });
      assert.equal((await raw.next('close')).code, 3);
      await works({ near, far });
    }
    assert.equal(carriers.near.channel.readyState, 'open');
    assert.deepEqual([near.losses, far.losses], [[], []]);
  });

  test('a resumed session is proven for where it began: of another context it is not resumed', async (t) => {
    const met = (name: string) => ({ context: new TextEncoder().encode(name) });
    // Without a secret a session begins, whatever the two sides were told.
    const { near, far } = await connectLinks(t, met('desk'), met('other'));
    const carriers = await connectCarriers(t);
    const attached = [near.link.attach(carriers.near), far.link.attach(carriers.far)];
    await Promise.all(attached.map((attempt) => assert.rejects(attempt, { code: 'secret_mismatch' })));
    await works({ near, far });
    const alike = await connectLinks(t, met('desk'));
    await attachNew(t, alike);
    await works(alike);
  });

  test('another session under the name, or under another name, is not the session', async (t) => {
    const { near, far } = await connectLinks(t);
    const other = await connectCarriers(t);
    const raw = new RawPeer(other.far);
    raw.hello({ session: randomBase64Url(16) });
    await assert.rejects(near.link.attach(other.near), { code: 'session_lost' });
    assert.equal((await raw.next('close')).code, 5);
    await works({ near, far });
  });

  test('of two new connections the newer one wins', async (t) => {
    const pair = await connectLinks(t);
    const silent = await connectCarriers(t);
    const older = assert.rejects(pair.near.link.attach(silent.near), { code: 'aborted' });
    await attachNew(t, pair);
    await older;
    await works(pair);
  });

  test('a signal ends an attempt, and not the session', async (t) => {
    const pair = await connectLinks(t);
    const silent = await connectCarriers(t);
    const abort = new AbortController();
    const attempt = assert.rejects(pair.near.link.attach(silent.near, abort.signal), { code: 'aborted' });
    abort.abort();
    await attempt;
    await works(pair);
  });

  test('what is half a message goes on over the next connection', async (t) => {
    const { near, far, carriers } = await connectLinks(t);
    const body = 'ß'.repeat(1_500_000);
    const arrived = Promise.withResolvers<void>();
    const { channel } = carriers.far;
    const { onmessage } = channel;
    channel.onmessage = (event) => {
      onmessage?.(event);
      arrived.resolve();
    };
    void near.link.send(note(1, body));
    await arrived.promise;
    await carriers.near.connection.close();
    assert.deepEqual(far.messages, []);
    await attachNew(t, { near, far });
    await eventually(() => far.messages.length === 1, 90_000);
    assert.deepEqual(far.messages, [note(1, body)]);
  });

  test('a goodbye counts also while the connection is lost, or another one is being made', async (t) => {
    for (const making of [false, true]) {
      const { near, far, carriers } = await connectLinks(t, {}, { clock: new ManualClock() });
      // From here on the far end is driven by hand, and gives no sign by itself.
      far.link.onclose = undefined!;
      const raw = new RawPeer(carriers.far);
      near.link.probe(100);
      await eventually(() => near.losses.length === 1, waitMs);
      assert.equal(near.losses[0]?.code, 'peer_silent');
      const other = making ? await connectCarriers(t) : undefined;
      const attempt = other && assert.rejects(near.link.attach(other.near), { code: 'closed' });
      raw.send(encodeClose(0));
      await eventually(() => near.closes.length === 1, waitMs);
      await attempt;
      assert.deepEqual(near.closes, [undefined]);
      await raw.next('close');
    }
  });

  test('nothing is sent again that was acknowledged, and nothing was received that was never sent', () => {
    const queue = new SendQueue();
    void queue.add(new Uint8Array(2_500));
    const seqs = () => Array.from({ length: 9 }, () => queue.next(1_024)?.seq).filter((seq) => seq !== undefined);
    assert.deepEqual(seqs(), [1, 2, 3]);
    queue.acknowledge(1);
    queue.resume(0, 1_024);
    assert.deepEqual(seqs(), [2, 3]);
    queue.resume(1, 1_024);
    assert.equal(queue.next(1_024)?.seq, 2);
    queue.acknowledge(3); // of what went over the old channel
    assert.deepEqual(seqs(), []);
    assert.ok(queue.allAcknowledged && queue.allSent);
    assert.throws(() => queue.resume(4, 1_024), { code: 'bad_channel' });
    void queue.add(new Uint8Array(1_000));
    assert.deepEqual(seqs(), [4]);
    assert.throws(() => queue.resume(3, 1_000), { code: 'bad_channel', message: /max-message-size/ });
    // Metadata is not cut, also that of a message of which nothing was sent.
    const waiting = new SendQueue();
    void waiting.add(new Uint8Array(1_000), new Uint8Array(10_000));
    assert.throws(() => waiting.resume(0, 1_024), { code: 'bad_channel', message: /max-message-size/ });
  });
});
