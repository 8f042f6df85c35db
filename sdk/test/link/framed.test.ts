import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { eventually } from '../../../test/support/wait.ts';
import {
  decode,
  encodeAck,
  encodeAuth,
  encodeClose,
  encodeData,
  encodeHello,
  encodePing,
  maxFrameBytes,
} from '../../src/link/frame.ts';
import { windowBytes } from '../../src/link/send-receive-window.ts';
import { nodeDatachannelEngine } from '../../src/peer/node-datachannel.ts';
import { connectCarriers, connectLinks, note, numbers, Recorder, upTo } from './carriers.ts';
import { ManualClock } from '../manual-clock.ts';
import { linkToPipe } from './pipe.ts';
import { hello, RawPeer } from './raw.ts';

const waitMs = 30_000;

/** A link whose other side is driven by hand; the session stands. */
async function linkToRaw(t: TestContext, maxMessageBytes = 10_485_760): Promise<{ near: Recorder; raw: RawPeer }> {
  const near = new Recorder({ offerer: true, maxMessageBytes });
  t.after(() => near.link.end());
  const carriers = await connectCarriers(t);
  const raw = new RawPeer(carriers.far);
  raw.hello();
  await near.link.attach(carriers.near);
  return { near, raw };
}

void suite('messages over a framed link', () => {
  test('arrive in order, both ways, with what travels beside them', async (t) => {
    const { near, far } = await connectLinks(t);
    assert.match(near.link.session ?? '', /^[\w-]{22}$/);
    assert.equal(near.link.session, far.link.session);
    const meta = { relatedRequestId: 7, headers: { 'mcp-session-id': 'x' } };
    await near.link.send(note(0, 'grüß Gott'), meta);
    for (const n of upTo(100).slice(1)) await near.link.send(note(n));
    await far.link.send(note(0), { relatedRequestId: 'a' });
    await eventually(() => near.messages.length === 1 && far.messages.length === 100, waitMs);
    assert.deepEqual(numbers(far.messages), upTo(100));
    assert.deepEqual(far.messages[0], note(0, 'grüß Gott'));
    assert.deepEqual(far.metas.slice(0, 2), [meta, undefined]);
    assert.deepEqual(near.metas, [{ relatedRequestId: 'a' }]);
  });

  test('of 10 MiB pass both ways at once, and PINGs between their parts', async (t) => {
    const { near, far } = await connectLinks(t, {}, {}, nodeDatachannelEngine);
    // Three bytes a character: cut into parts they are cut in the middle.
    const body = '€'.repeat(3_400_000);
    /** Whether the PONG was there when a message was complete. */
    const answered: boolean[] = [];
    for (const { link } of [near, far]) {
      const { onmessage } = link;
      link.onmessage = (...message) => {
        answered.push(near.link.roundTripMs !== undefined);
        onmessage?.(...message);
      };
    }
    const sent = Promise.all([near.link.send(note(1, body)), far.link.send(note(2, body))]);
    near.link.probe(waitMs);
    await eventually(() => near.messages.length + far.messages.length === 2, 60_000);
    await sent;
    assert.deepEqual(answered, [true, true], 'the PING came through first');
    assert.deepEqual([far.messages, near.messages], [[note(1, body)], [note(2, body)]]);
    assert.deepEqual([near.losses, far.losses], [[], []]);
  });

  test('are given to the channel in portions, so that an answer to a PING is never far behind', async (t) => {
    const { near, pipe } = await linkToPipe(t);
    pipe.reading = false;
    const sent = near.link.send(note(1, 'x'.repeat(4_000_000)));
    for (let total = 0; total < 4_000_000;) {
      const portion = pipe.bufferedAmount;
      assert.ok(portion <= 262_144 + maxFrameBytes, `${portion} bytes in the buffer`);
      pipe.put(encodePing(1));
      assert.equal(pipe.bufferedAmount, portion + 5, 'its PONG is right behind them');
      total += portion;
      pipe.drain();
    }
    await sent;
  });

  test('wait when the other side does not acknowledge, and go on when it does', async (t) => {
    const { near, pipe } = await linkToPipe(t);
    const body = 'x'.repeat(999_900);
    let taken = 0;
    for (const n of upTo(8)) void near.link.send(note(n, body)).then(() => (taken += 1), assert.fail);
    const frames = () => pipe.sent.map((frame) => decode(frame)).filter((frame) => frame.type === 'data');
    const bytes = frames().reduce((sum, frame) => sum + frame.bytes, 0);
    assert.ok(bytes > windowBytes - maxFrameBytes && bytes <= windowBytes, `${bytes} bytes are on their way`);
    pipe.put(encodePing(1));
    assert.equal(decode(pipe.sent.at(-1)!).type, 'pong', 'which does not wait');
    await eventually(() => taken === 4, waitMs);
    for (let acked = 0; acked < frames().length;) {
      acked = frames().length;
      pipe.put(encodeAck(acked));
    }
    assert.equal(frames().filter(({ end }) => end).length, 8);
    await eventually(() => taken === 8, waitMs);
  });

  test('are acknowledged without being asked for it: soon, and early when there are many', async (t) => {
    const clock = new ManualClock();
    const { near, pipe } = await linkToPipe(t, { clock });
    const answers = () => pipe.sent.splice(0).map((frame) => decode(frame));
    answers(); // its HELLO
    const put = (seq: number, bytes: number, end = false) =>
      pipe.put(encodeData({ seq, ack: 0, end, meta: undefined, part: new Uint8Array(bytes) }));
    put(1, 10);
    await clock.advance(99);
    assert.deepEqual(answers(), []);
    await clock.advance(1);
    assert.deepEqual(answers(), [{ type: 'ack', ack: 1 }]);
    // Without a turn in between: only the bytes can be the reason.
    for (const seq of [2, 3, 4, 5]) put(seq, 60_000);
    assert.deepEqual(answers(), []);
    put(6, 200_000, true);
    assert.deepEqual(answers(), [{ type: 'ack', ack: 5 }], 'after 196,608 bytes, when there are more');
    // Its own DATA says it as well, and is enough.
    void near.link.send(note(0));
    put(7, 10, true);
    const sent = answers();
    assert.equal(sent.length, 1);
    assert.partialDeepStrictEqual(sent, [{ type: 'data', seq: 1, ack: 6 }]);
    for (const seq of [8, 9]) put(seq, 131_072);
    assert.deepEqual(answers(), [{ type: 'ack', ack: 9 }], 'after 262,144 bytes');
  });

  test('are acknowledged in time by the clock of the system, too', async (t) => {
    const { pipe } = await linkToPipe(t);
    pipe.sent.length = 0;
    pipe.put(encodeData({ seq: 1, ack: 0, end: true, meta: undefined, part: new Uint8Array(10) }));
    const cameAt = performance.now();
    await eventually(() => pipe.sent.length > 0, waitMs);
    assert.ok(performance.now() - cameAt >= 90, 'not at once: an answer would have taken it along');
    assert.deepEqual(decode(pipe.sent[0]!), { type: 'ack', ack: 1 });
  });

  test('are not passed on any more when the acknowledgement of those before was the end', async (t) => {
    const { near, pipe } = await linkToPipe(t);
    const log: string[] = [];
    near.link.onlost = (reason) => near.link.end(reason);
    near.link.onclose = () => log.push('closed');
    near.link.onmessage = () => log.push('message');
    const put = (seq: number, message: object) =>
      pipe.put(encodeData({ seq, ack: 0, end: true, meta: undefined, part: Buffer.from(JSON.stringify(message)) }));
    put(1, note(1, 'x'.repeat(200_000)));
    pipe.carrier.channel.send = () => {
      throw new Error('not open');
    };
    put(2, note(2));
    assert.deepEqual(log, ['message', 'closed']);
  });

  test('that are larger than the other side takes are refused; a response is replaced by an error', async (t) => {
    const { near, far } = await connectLinks(t, { maxMessageBytes: 50_000 }, { maxMessageBytes: 1_000 });
    await assert.rejects(near.link.send(note(0, 'x'.repeat(1_000))), { code: 'message_too_large' });
    await assert.rejects(near.link.send(note(0, '€'.repeat(320))), { code: 'message_too_large' });
    await near.link.send({ jsonrpc: '2.0', id: 3, result: { text: 'x'.repeat(1_000) } });
    // An error under this id is too large as well.
    const long = near.link.send({ jsonrpc: '2.0', id: 'i'.repeat(1_000), result: {} });
    await assert.rejects(long, { code: 'message_too_large' });
    await far.link.send(note(1));
    await eventually(() => far.messages.length === 1 && near.messages.length === 1, waitMs);
    assert.partialDeepStrictEqual(far.messages, [{ id: 3, error: { code: -32_603 } }]);
    assert.deepEqual(
      near.errors.map(({ code }) => code),
      ['message_too_large'],
    );
  });

  test('that JSON cannot say, and metadata that is invalid or does not fit, are refused, and the session goes on', async (t) => {
    const { near, far } = await connectLinks(t);
    const { link } = near as { link: { send(message: unknown, meta?: unknown): Promise<void> } };
    const none = [undefined, Symbol('x'), () => {}, { toJSON: () => undefined }];
    for (const message of [{ jsonrpc: '2.0', method: 'm', params: { n: 1n } }, ...none]) {
      await assert.rejects(link.send(message), { code: 'bad_message' });
    }
    const bad = [
      { headers: { cookie: 'x'.repeat(20_000) } },
      { headers: { accept: ['a', 'b'] } },
      { headers: { n: 1n } },
      { headers: ['a'] },
      { headers: 'a' },
      { relatedRequestId: null },
      { relatedRequestId: 1.5 },
      { relatedRequestId: 2 ** 60 },
    ];
    for (const meta of bad) await assert.rejects(link.send(note(0), meta), { code: 'bad_message' });
    await near.link.send(note(1));
    await eventually(() => far.messages.length === 1, waitMs);
  });

  test('that are none are dropped, and the session goes on', async (t) => {
    const { near, raw } = await linkToRaw(t);
    raw.data(1, '{');
    raw.data(2, Uint8Array.of(0xff));
    raw.data(3, '[]');
    raw.data(4, '{"jsonrpc":"2.0","method":"m","id":null}');
    raw.data(5, JSON.stringify(note(1)));
    const { part } = await raw.next('data');
    assert.partialDeepStrictEqual(JSON.parse(new TextDecoder().decode(part)), { error: { code: -32_600 } });
    await eventually(() => near.messages.length === 1, waitMs);
    assert.deepEqual(
      near.errors.map(({ code }) => code),
      Array.from({ length: 4 }, () => 'bad_message'),
    );
    assert.deepEqual(near.closes, []);
  });
});

void suite('a frame that breaks the rules ends the session', () => {
  const text = JSON.stringify(note(1));
  const breaches: [what: string, breach: (raw: RawPeer) => void, said: RegExp][] = [
    ['an empty DATA frame', (raw) => raw.send(Uint8Array.of(3)), /truncated/],
    ['flags that do not exist', (raw) => raw.send(dataFrame(4)), /flags/],
    ['a number of 2^53', (raw) => raw.send(dataFrame(1, 0x20)), /2\^53/],
    ['a seq that is not the next one', (raw) => raw.data(2, text), /frame 2 after 0/],
    ['a seq twice', (raw) => [raw.data(1, text), raw.data(1, text)], /frame 1 after 1/],
    ['an acknowledgement of what was never sent', (raw) => raw.send(encodeAck(1)), /acknowledgement of 1/],
    ['metadata in a later part', (raw) => [raw.data(1, text, { end: false }), raw.data(2, '', { meta })], /later part/],
    ['metadata that is not JSON', (raw) => raw.data(1, text, { meta: Uint8Array.of(123) }), /metadata/],
    ['metadata longer than its frame', (raw) => raw.send(dataFrame(3)), /metadata/],
    ['a second HELLO', (raw) => raw.hello(), /HELLO after/],
    ['an AUTH out of place', (raw) => raw.send(encodeAuth(new Uint8Array(32))), /AUTH after/],
    ['an AUTH that is too short', (raw) => raw.send(encodeAuth(new Uint8Array(31))), /AUTH in 32 bytes/],
    ['a PING that is too long', (raw) => raw.send(Uint8Array.of(5, 0, 0, 0, 0, 0)), /PING in 6 bytes/],
    ['a CLOSE without a code', (raw) => raw.send(Uint8Array.of(7)), /CLOSE/],
  ];
  const meta = new TextEncoder().encode('{}');
  const dataFrame = (flags: number, high = 0) => {
    const frame = new Uint8Array(20);
    frame.set([3, flags, high]);
    return frame;
  };

  for (const [what, breach, said] of breaches) {
    test(what, async (t) => {
      const { near, raw } = await linkToRaw(t);
      breach(raw);
      const close = await raw.next('close');
      assert.equal(close.code, 1);
      assert.match(close.reason, said);
      assert.equal(near.closes.length, 1);
      assert.equal(near.closes[0]?.code, 'bad_channel');
      assert.match(near.closes[0]?.message ?? '', said);
      await assert.rejects(near.link.send(note(1)), { code: 'closed' });
      raw.send(encodeClose(0));
      await near.link.close();
      await eventually(() => raw.closed, waitMs);
    });
  }

  test('a message over the limit, before it is complete', async (t) => {
    const { near, raw } = await linkToRaw(t, 100_000);
    for (const n of upTo(3)) raw.data(1 + n, new Uint8Array(40_000), { end: false });
    assert.equal((await raw.next('close')).code, 2);
    assert.equal(near.closes[0]?.code, 'message_too_large');
  });

  test('a frame that is too large', async (t) => {
    const { near, pipe } = await linkToPipe(t);
    pipe.put(new Uint8Array(maxFrameBytes + 1));
    assert.equal(near.closes[0]?.code, 'bad_channel');
    assert.match(near.closes[0]?.message ?? '', new RegExp(`${maxFrameBytes + 1} bytes`));
  });

  test('a text message', async (t) => {
    const carriers = await connectCarriers(t);
    const near = new Recorder({ offerer: true });
    const raw = new RawPeer(carriers.far);
    raw.hello();
    await near.link.attach(carriers.near);
    carriers.far.channel.send('{}');
    assert.equal((await raw.next('close')).code, 1);
    assert.equal(near.closes[0]?.code, 'bad_channel');
  });

  test('but one of a type that this version does not know is ignored, also during the handshake', async (t) => {
    const carriers = await connectCarriers(t);
    const near = new Recorder({ offerer: true });
    t.after(() => near.link.end());
    const raw = new RawPeer(carriers.far);
    raw.send(Uint8Array.of(0x7f, 1, 2));
    raw.hello();
    await near.link.attach(carriers.near);
    raw.send(Uint8Array.of(0));
    raw.data(1, JSON.stringify(note(1)));
    await eventually(() => near.messages.length === 1, waitMs);
    assert.deepEqual(near.closes, []);
  });

  test('anything but HELLO at the beginning fails the handshake', async (t) => {
    for (const frame of [encodeAck(0), encodePing(1), encodeHello({ ...hello(), received: 3 })]) {
      const carriers = await connectCarriers(t);
      const near = new Recorder({ offerer: true });
      const raw = new RawPeer(carriers.far);
      raw.send(frame);
      await assert.rejects(near.link.attach(carriers.near), { code: 'bad_channel' });
      assert.equal((await raw.next('close')).code, 1);
      assert.deepEqual(near.closes, [], 'the rejection says it');
      await assert.rejects(near.link.send(note(1)), { code: 'closed' });
      raw.send(encodeClose(0));
      await near.link.close();
    }
  });
});
