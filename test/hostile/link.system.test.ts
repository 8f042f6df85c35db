import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import {
  type Arbitrary,
  array,
  assert as check,
  asyncProperty,
  boolean,
  constant,
  constantFrom,
  integer,
  nat,
  oneof,
  option,
  record,
  string,
  tuple,
  uint8Array,
} from 'fast-check';
import {
  decode,
  encodeAck,
  encodeAuth,
  encodeClose,
  encodeData,
  encodeHello,
  encodePing,
  encodePong,
} from '../../sdk/src/link/frame.ts';
import { Recorder } from '../../sdk/test/link/carriers.ts';
import { PipeEnd } from '../../sdk/test/link/pipe.ts';
import { hello } from '../../sdk/test/link/raw.ts';
import { eventually } from '../support/wait.ts';

/**
 * Frames sent at least; the full run is `HOSTILE_FRAMES=100000 npm run test:all --
 * "test/hostile/*.test.ts"`.
 */
const wanted = Number(process.env['HOSTILE_FRAMES'] ?? 4_000);
const seed = Number(process.env['HOSTILE_SEED'] ?? Date.now() % 1_000_000);
const maxMessageBytes = 2_000;

type Bytes = Uint8Array<ArrayBuffer>;
/** What comes next, from a peer that has sent `seq` DATA frames and has had `had`. */
type Move = (peer: { seq: number; had: number }) => Bytes | string;

const bytes = (constraints: { maxLength: number }): Arbitrary<Bytes> =>
  uint8Array(constraints).map((value) => new Uint8Array(value));
const utf8 = (text: string): Bytes => new TextEncoder().encode(text);
const message = constantFrom(
  '{"jsonrpc":"2.0","method":"m"}',
  '{"jsonrpc":"2.0","method":"m","id":1}',
  '{"jsonrpc":"2.0","method":"m","id":null}',
  '{"jsonrpc":"2.0","id":1,"result":{}}',
  '{"jsonrpc":"2.0","meth',
  '[',
  '',
);
/** Mostly 0. */
const offset = oneof(
  { weight: 40, arbitrary: constant(0) },
  { weight: 1, arbitrary: integer({ min: -3, max: 2 ** 20 }) },
);
const meta = oneof(
  { weight: 20, arbitrary: constant(undefined) },
  { weight: 3, arbitrary: constantFrom('{"relatedRequestId":1}', '{"headers":{"a":"b","__proto__":"c"}}').map(utf8) },
  { weight: 1, arbitrary: oneof(bytes({ maxLength: 20 }), constantFrom('null', '{"headers":{"a":1}}').map(utf8)) },
);

const data: Arbitrary<Move> = record({
  off: offset,
  ackOff: offset,
  end: boolean(),
  meta,
  part: oneof({ weight: 8, arbitrary: message.map(utf8) }, { weight: 1, arbitrary: bytes({ maxLength: 900 }) }),
}).map(({ off, ackOff, end, meta: beside, part }) => (peer) => {
  peer.seq += 1;
  return encodeData({ seq: count(peer.seq + off), ack: count(peer.had + ackOff), end, meta: beside, part });
});
const count = (value: number) => Math.max(0, value);

const helloFrame = record({
  members: constantFrom(
    {},
    { received: 2 ** 40 },
    { maxMessageBytes: 1 },
    { auth: 'secret' as const },
    { received: -1 },
  ),
  session: option(string({ unit: constantFrom('a', '_', '%'), minLength: 20, maxLength: 66 }), { nil: undefined }),
}).map(({ members, session }) => encodeHello({ ...hello(), ...members, ...(session ? { session } : {}) }));

const frame: Arbitrary<Move> = oneof(
  { weight: 30, arbitrary: data },
  {
    weight: 6,
    arbitrary: offset.map(
      (off): Move =>
        ({ had }) =>
          encodeAck(count(had + off)),
    ),
  },
  {
    weight: 4,
    arbitrary: nat(2 ** 32 - 1).map(
      (id): Move =>
        () =>
          encodePing(id),
    ),
  },
  {
    weight: 2,
    arbitrary: nat(2 ** 32 - 1).map(
      (id): Move =>
        () =>
          encodePong(id),
    ),
  },
  {
    weight: 1,
    arbitrary: tuple(nat(255), string()).map(
      ([code, reason]): Move =>
        () =>
          encodeClose(code, reason),
    ),
  },
  {
    weight: 1,
    arbitrary: helloFrame.map(
      (value): Move =>
        () =>
          value,
    ),
  },
  {
    weight: 1,
    arbitrary: bytes({ maxLength: 40 }).map(
      (proof): Move =>
        () =>
          encodeAuth(proof),
    ),
  },
  {
    weight: 2,
    arbitrary: bytes({ maxLength: 60 }).map(
      (value): Move =>
        () =>
          value,
    ),
  },
  {
    weight: 1,
    arbitrary: string().map(
      (value): Move =>
        () =>
          value,
    ),
  },
);

/** As it is, cut short, made longer, or with a byte changed. */
const move: Arbitrary<Move> = oneof(
  { weight: 16, arbitrary: frame },
  {
    weight: 1,
    arbitrary: tuple(frame, nat(), nat(255), constantFrom('cut', 'add', 'change')).map(
      ([inner, at, byte, how]): Move =>
        (peer) => {
          const whole = inner(peer);
          if (typeof whole === 'string' || whole.length === 0) return whole;
          const place = at % whole.length;
          if (how === 'cut') return whole.slice(0, place);
          if (how === 'add') return Uint8Array.of(...whole, byte);
          return whole.with(place, byte);
        },
    ),
  },
);

const endings = new Set([
  'bad_channel',
  'message_too_large',
  'secret_mismatch',
  'peer_refused',
  'session_lost',
  'peer_gone',
  'closed',
]);

/** Sends the moves to a link of its own, which has to stand it or to say why it does not. */
async function attack(moves: Move[], greets: boolean): Promise<{ frames: number; lived: boolean }> {
  const { link, ...heard } = new Recorder({ offerer: true, maxMessageBytes });
  const pipe = new PipeEnd();
  const peer = { seq: 0, had: 0 };
  let failed: { code: string } | undefined;
  const attached = link.attach(pipe.carrier).catch((error: { code: string }) => {
    failed = error;
  });
  if (greets) {
    pipe.put(encodeHello(hello()));
    await attached;
    assert.equal(failed, undefined);
    void link.send({ jsonrpc: '2.0', method: 'm' }).catch(() => {}); // `heard` has its end
    peer.had = 1;
  }
  let frames = 0;
  let ended = 0;
  for (const next of moves) {
    const value = next(peer);
    if (typeof value !== 'string' && value[0] === 3 && (value[1] ?? 0) & 1) ended += 1;
    pipe.put(value);
    frames += 1;
    // Whether or not the link has time to read: the handshake takes one frame after the other.
    if (!greets && frames % 2 === 0) await Promise.resolve();
    if (heard.closes.length > 0) break;
  }
  assert.ok(heard.messages.length <= ended, 'more messages than were completed');
  const lived = greets && heard.closes.length === 0;
  if (lived) {
    pipe.put(encodePing(77));
    const answer = decode(pipe.sent.at(-1) ?? new Uint8Array());
    assert.deepEqual(answer, { type: 'pong', id: 77 }, 'it goes on');
  }
  for (const { code } of heard.errors) assert.equal(code, 'bad_message');
  link.end();
  await attached;
  assert.equal(heard.closes.length, failed ? 0 : 1);
  for (const error of [...heard.closes, failed]) if (error) assert.ok(endings.has(error.code), error.code);
  const types = pipe.sent.map((value) => decode(value).type);
  assert.ok(!types.slice(0, -1).includes('close'), 'nothing follows a CLOSE');
  // As the other side would: what is left to the link takes it a second.
  pipe.close();
  return { frames, lived };
}

/** Megabytes in use, garbage and all: it must not grow with what a peer sends. */
const heap = () => process.memoryUsage().rss / 2 ** 20;

void suite('a hostile peer', () => {
  test(
    `${wanted} frames (seed ${seed}) are taken, or end the session with an error that says why`,
    { timeout: 600_000 },
    async (t) => {
      let sent = 0;
      let sessions = 0;
      let lived = 0;
      let before = 0;
      const property = asyncProperty(
        array(move, { minLength: 1, maxLength: 40, size: 'max' }),
        nat(9),
        async (moves, dice) => {
          const result = await attack(moves, dice > 0);
          sent += result.frames;
          sessions += 1;
          if (result.lived) lived += 1;
        },
      );
      for (let round = 0; sent < wanted; round++) {
        await check(property, { numRuns: 100, seed: seed + round, endOnFailure: true });
        if (round === 0) before = heap();
      }
      const after = heap();
      assert.ok(lived > sessions / 20, `only ${lived} of ${sessions} sessions lived`);
      assert.ok(after < before + 150, `memory grew from ${before.toFixed()} to ${after.toFixed()} MB`);
      t.diagnostic(
        `${sent} frames in ${sessions} sessions, ${lived} lived, ${before.toFixed()} → ${after.toFixed()} MB`,
      );
    },
  );

  /** A link whose session stands. */
  async function victim(limit = maxMessageBytes) {
    const near = new Recorder({ offerer: true, maxMessageBytes: limit });
    const pipe = new PipeEnd();
    const attached = near.link.attach(pipe.carrier);
    pipe.put(encodeHello(hello()));
    await attached;
    return { near, pipe };
  }

  test('a message without an end, in parts of one byte, ends it at the limit and costs no more than that', async () => {
    const limit = 200_000;
    const { near, pipe } = await victim(limit);
    const before = heap();
    let seq = 0;
    while (near.closes.length === 0) {
      seq += 1;
      pipe.put(encodeData({ seq, ack: 0, end: false, meta: undefined, part: Uint8Array.of(32) }));
    }
    assert.equal(seq, limit + 1);
    assert.equal(near.closes[0]?.code, 'message_too_large');
    assert.ok(heap() < before + 64);
    pipe.close();
  });

  test('parts of no byte at all are counted, and kept nowhere', async (t) => {
    const { near, pipe } = await victim();
    t.after(() => near.link.end());
    const before = heap();
    for (let seq = 1; seq <= 100_000; seq++) {
      pipe.put(encodeData({ seq, ack: 0, end: false, meta: undefined, part: new Uint8Array(0) }));
    }
    assert.deepEqual(near.closes, []);
    assert.ok(heap() < before + 64);
    assert.ok(pipe.sent.length < 100, 'and acknowledged now and then');
    pipe.close();
  });

  test('who does not read gets no answers without end', async (t) => {
    const { near, pipe } = await victim();
    t.after(() => near.link.end());
    pipe.reading = false;
    const invalid = utf8('{"jsonrpc":"2.0","method":"m","id":[]}');
    const before = heap();
    for (let seq = 1; seq <= 300_000; seq++) {
      pipe.put(encodePing(seq));
      if (seq <= 100_000) pipe.put(encodeData({ seq, ack: 0, end: true, meta: undefined, part: invalid }));
    }
    assert.ok(pipe.bufferedAmount < 1_200_000, `${pipe.bufferedAmount} bytes`);
    assert.ok(heap() < before + 200);
    assert.deepEqual(near.closes, []);
    pipe.close();
  });

  test('what comes in a handshake that is never over is limited', async () => {
    const { link } = new Recorder({ offerer: true });
    const pipe = new PipeEnd();
    const attached = assert.rejects(link.attach(pipe.carrier), {
      code: 'bad_channel',
      message: /before the handshake/,
    });
    // Deriving the key takes time.
    pipe.put(encodeHello(hello()));
    for (let n = 0; n < 30_000; n++) pipe.put(encodePing(n));
    await attached;
    pipe.close();
    await eventually(() => !pipe.open);
  });
});
