import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { within } from '../../../test/support/wait.ts';
import {
  decode,
  encodeAck,
  encodeClose,
  encodeData,
  encodeHello,
  maxFrameBytes,
  encodePing,
} from '../../src/link/frame.ts';
import type { JsonRpcMessage } from '../../src/link/message.ts';
import { note, Recorder } from './carriers.ts';
import { ManualClock } from '../manual-clock.ts';
import { linkToPipe, PipeEnd } from './pipe.ts';
import { hello } from './raw.ts';

const waitMs = 30_000;
const answerBytes = 100_000;

/** A link that answers every request of the test with 100 kB at once. */
async function asked(t: TestContext) {
  const clock = new ManualClock();
  const { near, pipe } = await linkToPipe(t, { clock });
  let answered = 0;
  near.link.onmessage = (message: JsonRpcMessage) => {
    if (!('id' in message)) return void near.messages.push(message);
    answered += 1;
    // A link that ends takes its answers with it; `answered` is what counts.
    near.link.send({ jsonrpc: '2.0', id: message.id!, result: { text: 'x'.repeat(answerBytes) } }).catch(() => {});
  };
  let seq = 0;
  const put = (text: string, ack = 0) => {
    seq += 1;
    pipe.put(encodeData({ seq, ack, end: true, meta: undefined, part: new TextEncoder().encode(text) }));
  };
  const ask = (ack?: number) => put(JSON.stringify({ jsonrpc: '2.0', id: seq + 1, method: 'm' }), ack);
  /** The last frame that it sent. */
  const last = () => {
    const frames = pipe.sent.map((frame) => decode(frame)).filter((frame) => frame.type === 'data');
    return frames.at(-1)?.seq ?? 0;
  };
  return { clock, near, pipe, put, ask, last, answered: () => answered };
}

suite('who asks and does not take the answers', () => {
  test('is not asked further, hears no acknowledgement, and gets everything when it does', async (t) => {
    const { near, pipe, put, ask, last, answered } = await asked(t);
    for (let n = 0; n < 1_000; n++) ask();
    assert.ok(answered() * answerBytes < 24_000_000, `${answered()} answers`);
    assert.deepEqual(near.closes, []);
    put(JSON.stringify(note(1)));
    const acks = () => pipe.sent.map((frame) => decode(frame)).flatMap((frame) => ('ack' in frame ? [frame.ack] : []));
    pipe.put(encodePing(1));
    assert.ok(Math.max(...acks()) <= answered(), 'only what was passed on is acknowledged');
    for (let acked = 0; near.messages.length === 0;) {
      assert.notEqual(last(), acked, 'it goes on');
      acked = last();
      pipe.put(encodeAck(acked));
    }
    assert.deepEqual([answered(), near.messages, near.closes], [1_000, [note(1)], []]);
  });

  test('may not go on asking beyond the window', async (t) => {
    const { near, pipe, put, ask, answered } = await asked(t);
    for (let n = 0; n < 300; n++) ask();
    const had = answered();
    const large = JSON.stringify(note(1, 'x'.repeat(60_000)));
    for (let n = 0; n < 80 && near.closes.length === 0; n++) put(large);
    assert.equal(near.closes[0]?.code, 'bad_channel');
    assert.match(near.closes[0]?.message ?? '', /4194304 bytes without an acknowledgement/);
    assert.equal(answered(), had);
    pipe.put(encodeClose(0));
  });

  test('is left after a while', async (t) => {
    const { clock, near, pipe, ask, last } = await asked(t);
    for (let n = 0; n < 300; n++) ask();
    const pingFor = async (seconds: number) => {
      for (let n = 0; n < seconds; n++) {
        await clock.advance(1_000);
        pipe.put(encodePing(1));
      }
    };
    await pingFor(10);
    assert.equal(near.closes.length, 0);
    // Whatever it takes gives it the whole time again.
    pipe.put(encodeAck(last() - 1));
    await pingFor(10);
    assert.equal(near.closes.length, 0);
    await pingFor(1);
    assert.match(near.closes[0]?.message ?? '', /no acknowledgement for 10 s/);
  });

  test('and says goodbye: what it said before is passed on, and nothing is answered any more', async (t) => {
    const { clock, near, pipe, put, ask } = await asked(t);
    for (let n = 0; n < 300; n++) ask();
    put(JSON.stringify(note(1)));
    assert.deepEqual(near.messages, []);
    pipe.put(encodeClose(0));
    assert.deepEqual([near.messages, near.closes], [[note(1)], [undefined]]);
    await clock.advance(1_000);
    await near.link.close();
  });

  test('keeps nobody from closing, however slowly it acknowledges', async (t) => {
    const { clock, near, pipe, ask } = await asked(t);
    for (let n = 0; n < 300; n++) ask();
    const closing = near.link.close();
    for (let second = 1; second < 30; second++) {
      await clock.advance(1_000);
      pipe.put(encodeAck(second));
    }
    assert.equal(near.closes.length, 0);
    await clock.advance(2_000); // and the last second for an answer to its CLOSE
    await within(closing, 'the close', waitMs);
    assert.equal(near.closes[0]?.code, 'session_lost');
  });
});

test('a message on which the channel breaks, and with it the session, is refused', async (t) => {
  const near = new Recorder({ offerer: true });
  const pipe = new PipeEnd();
  t.after(() => pipe.close());
  near.link.onlost = (reason) => near.link.end(reason); // as a session that cannot be resumed
  const attached = near.link.attach(pipe.carrier);
  pipe.put(encodeHello(hello()));
  await attached;
  pipe.carrier.channel.send = () => {
    throw new DOMException('The send queue is full.', 'OperationError');
  };
  const sending = near.link.send(note(1, 'x'.repeat(2 * maxFrameBytes)));
  await within(assert.rejects(sending, { code: 'closed' }), 'the refusal', waitMs);
  assert.equal(near.closes.length, 1);
});
