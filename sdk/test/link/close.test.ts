import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { eventually, within } from '../../../test/support/wait.ts';
import { RendezvousError } from 'mcp-rendezvous-protocol';
import { encodeAck, encodeClose, encodePing } from '../../src/link/frame.ts';
import { nodeDatachannelEngine } from '../../src/peer/node-datachannel.ts';
import { attachBoth, connectCarriers, connectLinks, note, numbers, Recorder, upTo } from './carriers.ts';
import { ManualClock } from '../manual-clock.ts';
import { linkToPipe } from './pipe.ts';
import { RawPeer } from './raw.ts';

const waitMs = 30_000;

void suite('the end of a framed link', () => {
  test('10,000 messages that are queued arrive before it', async (t) => {
    const { near, far, carriers } = await connectLinks(t, {}, {}, nodeDatachannelEngine);
    // More than fits into the window.
    const body = 'x'.repeat(600);
    for (const n of upTo(10_000)) near.link.send(note(n, body)).catch(assert.fail);
    await near.link.close();
    assert.deepEqual(numbers(far.messages), upTo(10_000));
    assert.deepEqual([near.closes, far.closes], [[undefined], [undefined]]);
    await eventually(() => carriers.far.channel.readyState === 'closed', waitMs);
    assert.deepEqual([near.losses, far.losses], [[], []]);
  });

  test('is the same for both when both want it at once, and when one wants it twice', async (t) => {
    const { near, far } = await connectLinks(t);
    await near.link.send(note(1));
    await far.link.send(note(2));
    await Promise.all([near.link.close(), far.link.close(), near.link.close()]);
    await near.link.close();
    near.link.end(new RendezvousError('session_lost', 'too late'));
    assert.deepEqual([near.closes, far.closes], [[undefined], [undefined]]);
    assert.deepEqual([near.messages, far.messages], [[note(2)], [note(1)]]);
    await assert.rejects(near.link.send(note(3)), { code: 'closed' });
  });

  test("the other side's goodbye is answered, told at once, and the channel is left to it", async (t) => {
    const clock = new ManualClock();
    const near = new Recorder({ offerer: true, clock });
    const carriers = await connectCarriers(t);
    const raw = new RawPeer(carriers.far);
    raw.hello();
    await near.link.attach(carriers.near);
    near.link.onclose = (error) => {
      near.closes.push(error);
      assert.equal(carriers.near.channel.readyState, 'open');
    };
    raw.send(encodeClose(0));
    assert.deepEqual(await raw.next('close'), { type: 'close', code: 0, reason: '' });
    assert.deepEqual(near.closes, [undefined]);
    await clock.advance(999);
    assert.equal(carriers.near.channel.readyState, 'open');
    await clock.advance(1);
    await near.link.close();
    await eventually(() => raw.closed, waitMs, 'closed by the link, as the other side does not');
  });

  test('what the other side says of the reason is the error', async (t) => {
    const codes = [
      'bad_channel',
      'message_too_large',
      'secret_mismatch',
      'peer_refused',
      'session_lost',
      'bad_channel',
    ];
    for (const [at, code] of codes.entries()) {
      const near = new Recorder({ offerer: true });
      const carriers = await connectCarriers(t);
      const raw = new RawPeer(carriers.far);
      raw.hello();
      await near.link.attach(carriers.near);
      raw.send(encodeClose(at + 1, `because\u0007 ${'x'.repeat(1_000)}`));
      await eventually(() => near.closes.length === 1, waitMs);
      assert.equal(near.closes[0]?.code, code);
      assert.match(near.closes[0]?.message ?? '', /because {2}x{50}/);
      assert.ok((near.closes[0]?.message.length ?? 0) < 800);
      carriers.far.channel.close();
    }
  });

  test('an end with an error is told to the other side, and messages that wait are refused', async (t) => {
    // However busy the machine is: no second is over before the CLOSE arrives.
    const { near, far, carriers } = await connectLinks(t, { clock: new ManualClock() });
    const body = 'x'.repeat(6_000_000);
    const waiting = assert.rejects(near.link.send(note(1, body)), { code: 'closed' });
    near.link.end(new RendezvousError('peer_refused', 'not you'));
    await waiting;
    await eventually(() => far.closes.length === 1, waitMs);
    assert.deepEqual(
      [near.closes, far.closes].flat().map((error) => error?.code),
      ['peer_refused', 'peer_refused'],
    );
    assert.match(far.closes[0]?.message ?? '', /not you/);
    await eventually(() => carriers.far.channel.readyState === 'closed', waitMs);
  });

  test('comes after a while when the other side does not acknowledge, with an error', async (t) => {
    const clock = new ManualClock();
    const { near } = await linkToPipe(t, { clock });
    const body = 'x'.repeat(1_000_000);
    let taken = 0;
    const send = (n: number) => near.link.send(note(n, body)).then(() => (taken += 1));
    const sent = Promise.allSettled(upTo(6).map(send));
    await eventually(() => taken === 4, waitMs, 'the window is full');
    const closing = near.link.close();
    await clock.advance(7_999);
    assert.equal(near.closes.length, 0);
    await clock.advance(1_001); // and the last second for an answer to its CLOSE
    await closing;
    const states = (await sent).map(({ status }) => status);
    assert.deepEqual(states, [...upTo(4).map(() => 'fulfilled'), 'rejected', 'rejected']);
    assert.deepEqual(
      near.closes.map((error) => error?.code),
      ['session_lost'],
    );
  });

  test('waits for acknowledgements as long as the other side gives a sign, but not for ever', async (t) => {
    const clock = new ManualClock();
    const { near, pipe } = await linkToPipe(t, { clock });
    await near.link.send(note(1));
    const closing = near.link.close();
    for (let seconds = 0; seconds < 28; seconds += 7) {
      await clock.advance(7_000);
      pipe.put(encodePing(seconds));
    }
    await clock.advance(1_999);
    assert.equal(near.closes.length, 0);
    await clock.advance(1_001);
    await closing;
    assert.deepEqual(
      near.closes.map((error) => error?.code),
      ['session_lost'],
    );
  });

  test('does not come over time in which the process did not run', async (t) => {
    const clock = new ManualClock();
    const { near, pipe } = await linkToPipe(t, { clock });
    await near.link.send(note(1));
    const closing = near.link.close();
    clock.sleep(60_000); // what has come meanwhile is read after the timers that are due
    await clock.advance(0);
    assert.deepEqual(near.closes, []);
    pipe.put(encodeAck(1));
    pipe.put(encodeClose(0));
    await closing;
    assert.deepEqual(near.closes, [undefined]);
  });

  test('does not wait for one who has everything and never says CLOSE', async (t) => {
    const clock = new ManualClock();
    const { near, pipe } = await linkToPipe(t, { clock });
    await near.link.send(note(1));
    const closing = near.link.close();
    pipe.put(encodeAck(1));
    for (let second = 0; second < 3; second++) {
      pipe.put(encodePing(second));
      await clock.advance(1_000);
    }
    await clock.advance(1_000);
    await closing;
    assert.deepEqual(near.closes, [undefined]);
  });

  test('comes also when the engine cannot say that the goodbye arrived', async (t) => {
    const { near, pipe } = await linkToPipe(t, { clock: new ManualClock() });
    pipe.flush = () => Promise.reject(new Error('no'));
    const closing = near.link.close();
    pipe.put(encodeClose(0));
    await closing;
    assert.deepEqual(near.closes, [undefined]);
    assert.ok(!pipe.open);
  });

  test('needs no answer when everything was acknowledged', async (t) => {
    const near = new Recorder({ offerer: true });
    const carriers = await connectCarriers(t);
    const raw = new RawPeer(carriers.far);
    raw.hello();
    await near.link.attach(carriers.near);
    const closing = near.link.close();
    await raw.next('close');
    await carriers.far.connection.close();
    await within(closing, 'the close', waitMs);
    assert.deepEqual([near.closes, near.losses], [[undefined], []]);
  });

  test('comes as late as acknowledgements do, and after its goodbye a side is silent', async (t) => {
    const clock = new ManualClock();
    const near = new Recorder({ offerer: true, clock });
    const carriers = await connectCarriers(t);
    const raw = new RawPeer(carriers.far);
    raw.hello();
    await near.link.attach(carriers.near);
    for (const n of upTo(5)) await near.link.send(note(n));
    const closing = near.link.close();
    await raw.next('close');
    for (const n of upTo(5)) {
      raw.send(encodeAck(n + 1));
      raw.data(n + 1, JSON.stringify(note(n)));
      raw.send(encodePing(n));
      await eventually(() => near.messages.length === n + 1, waitMs, 'it listens all the same');
      await clock.advance(2_900); // longer in all than the 3 s without any
    }
    assert.deepEqual(near.closes, []);
    raw.send(encodeClose(0));
    await closing;
    await eventually(() => raw.closed, waitMs);
    assert.deepEqual(near.closes, [undefined]);
    assert.ok(raw.frames.every(({ type }) => type === 'data' || type === 'hello'));
  });

  test('while the connection is lost it waits for another one', async (t) => {
    const { near, far, carriers } = await connectLinks(t);
    await carriers.far.connection.close();
    await eventually(() => near.losses.length === 1, waitMs);
    const sent = near.link.send(note(1));
    const closing = near.link.close();
    await attachBoth({ near, far }, await connectCarriers(t));
    await Promise.all([sent, closing]);
    assert.deepEqual([far.messages, near.closes], [[note(1)], [undefined]]);
    await eventually(() => far.closes.length === 1, waitMs);
  });

  test('while the connection is lost and none comes, it is the end all the same', async (t) => {
    const clock = new ManualClock();
    const { near, carriers } = await connectLinks(t, { clock });
    await carriers.far.connection.close();
    await eventually(() => near.losses.length === 1, waitMs);
    const sent = assert.rejects(near.link.send(note(1)), { code: 'closed' });
    const closing = near.link.close();
    await clock.advance(8_000);
    await closing;
    await sent;
    assert.deepEqual(
      near.closes.map((error) => error?.code),
      ['session_lost'],
    );
  });

  test('before there is a session the attempt says it, and nobody else', async (t) => {
    for (const finish of ['close', 'end'] as const) {
      const clock = new ManualClock();
      const near = new Recorder({ offerer: true, clock });
      const carriers = await connectCarriers(t);
      const raw = new RawPeer(carriers.far);
      const attempt = assert.rejects(near.link.attach(carriers.near), { code: 'closed' });
      await raw.next('hello');
      void near.link[finish]();
      await attempt;
      await clock.advance(1_000);
      await near.link.close();
      assert.deepEqual(near.closes, []);
      const late = await connectCarriers(t);
      await assert.rejects(near.link.attach(late.near), { code: 'closed' });
      await eventually(() => late.near.channel.readyState === 'closed', waitMs);
    }
    const unused = new Recorder({ offerer: true });
    await unused.link.close();
    assert.deepEqual(unused.closes, []);
  });
});
