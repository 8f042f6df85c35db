import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { RendezvousError, type SignalMessage } from 'mcp-rendezvous';
import type { PeerData } from 'mcp-rendezvous-protocol';
import { RelayChannel } from '../../src/signaling/relay-channel.ts';

const candidate = (n: number): SignalMessage => ({
  kind: 'candidate',
  gen: 1,
  candidate: { candidate: `candidate:${n}` },
});
const numberOf = (message: SignalMessage): number =>
  message.kind === 'candidate' ? Number(message.candidate.candidate.slice('candidate:'.length)) : Number.NaN;

interface Wire {
  /** Decides over each datum on its way: how often it arrives. */
  copies: (data: PeerData, from: 'left' | 'right') => number;
  left: RelayChannel;
  right: RelayChannel;
  received: { left: number[]; right: number[] };
}

function mockClock(t: TestContext): void {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
  t.mock.method(performance, 'now', () => Date.now());
}

/** Two channels and, in between, a relay that may lose and double what it is given. */
function wire(t: TestContext): Wire {
  const received: Wire['received'] = { left: [], right: [] };
  const forward = (from: 'left' | 'right', to: 'left' | 'right') => (data: PeerData) => {
    const copy = JSON.parse(JSON.stringify(data)) as PeerData;
    for (let n = self.copies(data, from); n > 0; n--) queueMicrotask(() => self[to].receive(copy));
  };
  const self: Wire = {
    copies: () => 1,
    received,
    left: new RelayChannel('right', forward('left', 'right'), () => {}),
    right: new RelayChannel('left', forward('right', 'left'), () => {}),
  };
  for (const side of ['left', 'right'] as const) {
    self[side].onmessage = (message) => received[side].push(numberOf(message));
    void self[side].start();
  }
  t.after(() => {
    self.left.end();
    self.right.end();
  });
  return self;
}

const until = async (condition: () => boolean): Promise<void> => {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    assert(Date.now() < deadline, 'the condition did not come true in time');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

const numbers = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);

test('in order, once each, when everything is handed over twice', async (t) => {
  const link = wire(t);
  link.copies = () => 2;
  for (const n of numbers(30)) await link.left.send(candidate(n));
  await until(() => link.received.right.length >= 30);
  assert.deepEqual(link.received.right, numbers(30));
});

test('what was lost is repeated, in both directions and without doubles, until it is acknowledged', async (t) => {
  const link = wire(t);
  // A fixed sequence without a period that the repeats could fall in step with (a linear
  // congruential generator).
  let state = 1;
  link.copies = () => {
    state = (state * 48_271) % 2_147_483_647;
    return [0, 1, 1, 1, 2][state % 5] ?? 1;
  };
  for (const i of numbers(4)) {
    await link.left.send(candidate(i));
    await link.right.send(candidate(i));
  }
  await until(() => link.received.right.length >= 4 && link.received.left.length >= 4);
  assert.deepEqual(link.received, { left: numbers(4), right: numbers(4) });
});

test('what was lost is repeated also while more is being sent all the time, and refused at first', async (t) => {
  const link = wire(t);
  let lost = 0;
  link.copies = (data, from) => (from === 'left' && data.kind === 'candidate' && lost++ === 0 ? 0 : 1);
  let sent = 0;
  const sending = setInterval(() => {
    void link.left.send(candidate(++sent));
    link.left.outcome('unavailable', 1_000);
  }, 100);
  await until(() => link.received.right.length > 0).finally(() => clearInterval(sending));
  assert(sent < 20, `the first one was repeated after ${sent} others`);
});

test('repeat() sends what is not acknowledged at once, and nothing that is', async (t) => {
  const link = wire(t);
  const seen: number[] = [];
  let cut = true;
  link.copies = (data, from) => {
    if (from === 'left' && data.kind === 'candidate') seen.push(data.seq ?? 0);
    return cut ? 0 : 1;
  };
  for (const n of numbers(3)) await link.left.send(candidate(n));
  cut = false;
  link.left.repeat();
  await until(() => link.received.right.length === 3);
  assert.deepEqual(seen, [1, 2, 3, 1, 2, 3]);
  let acknowledged = false;
  link.copies = (data, from) => {
    if (from === 'right' && data.kind === 'ack' && data.ack === 3) acknowledged = true;
    if (from === 'left') seen.push(data.kind === 'ack' ? 0 : (data.seq ?? 0));
    return 1;
  };
  await until(() => acknowledged);
  link.left.repeat();
  await link.left.send(candidate(4));
  await until(() => link.received.right.length === 4);
  assert.deepEqual(seen.slice(6), [4]);
});

test('a long backlog is repeated in portions, each when the one before has arrived', async (t) => {
  const link = wire(t);
  let cut = true;
  let inOneTurn = 0;
  let most = 0;
  link.copies = (_, from) => {
    if (cut) return 0;
    if (from === 'left') {
      if (inOneTurn++ === 0) setImmediate(() => (inOneTurn = 0));
      most = Math.max(most, inOneTurn);
    }
    return 1;
  };
  for (const n of numbers(200)) await link.left.send(candidate(n));
  cut = false;
  link.left.repeat();
  await until(() => link.received.right.length === 200);
  assert.deepEqual(link.received.right, numbers(200));
  assert(most <= 64, `${most} at once`);
});

test('messages without seq are delivered as they come', (t) => {
  const link = wire(t);
  const raw = { kind: 'candidate', gen: 1, body: { candidate: 'candidate:9' } };
  link.right.receive(raw);
  link.right.receive(raw);
  assert.deepEqual(link.received.right, [9, 9]);
});

test('nonsense is ignored, and what comes after it is not lost', (t) => {
  const link = wire(t);
  for (const nonsense of [
    null,
    7,
    'offer',
    [],
    {},
    { kind: 'offer' },
    { kind: 'other', gen: 1 },
    { kind: 'ack', ack: -1 },
  ]) {
    link.right.receive(nonsense);
  }
  link.right.receive({ kind: 'ack', ack: 1_000_000 });
  link.right.receive({ kind: 'candidate', gen: 1, seq: 1, body: { candidate: 'candidate:1' } });
  assert.deepEqual(link.received.right, [1]);
});

test('messages that come before start() wait for it', async (t) => {
  const received: number[] = [];
  const channel = new RelayChannel(
    'peer',
    () => {},
    () => {},
  );
  t.after(() => channel.end());
  channel.onmessage = (message) => received.push(numberOf(message));
  channel.receive({ kind: 'candidate', gen: 1, seq: 1, body: { candidate: 'candidate:1' } });
  assert.deepEqual(received, []);
  await channel.start();
  assert.deepEqual(received, [1]);
});

test('a peer that is gone ends the channel once, and later sends reject', async (t) => {
  const link = wire(t);
  const ends: unknown[] = [];
  link.left.onclose = (error) => ends.push((error as { code?: string } | undefined)?.code);
  link.left.outcome('gone');
  link.left.outcome('gone');
  link.left.end();
  assert.deepEqual(ends, ['peer_gone']);
  await assert.rejects(link.left.send(candidate(1)), { code: 'peer_gone' });
});

test('a peer that acknowledges nothing does not make the sender grow', async (t) => {
  const link = wire(t);
  link.copies = () => 0;
  let end: string | undefined;
  link.left.onclose = (error) => {
    end = (error as { code?: string } | undefined)?.code;
  };
  let sent = 0;
  while (end === undefined && sent < 1000) {
    sent++;
    await link.left.send(candidate(sent)).catch(() => {}); // `end` says it
  }
  assert.equal(end, 'peer_silent');
  assert(sent < 300, `${sent} messages were kept`);
});

test('silence ends a channel after 30 s, and a patient one never: it goes on repeating', async (t) => {
  mockClock(t);
  const ends: (string | undefined)[] = [];
  const repeats = { hasty: 0, patient: 0 };
  const channels = (['hasty', 'patient'] as const).map((name) => {
    const channel = new RelayChannel(
      'peer',
      () => repeats[name]++,
      () => {},
    );
    channel.patient = name === 'patient';
    channel.onclose = (error) => ends.push(`${name} ${(error as { code?: string } | undefined)?.code}`);
    return channel;
  });
  for (const channel of channels) await channel.send(candidate(1));
  for (let second = 0; second < 60; second++) t.mock.timers.tick(1000);
  assert.deepEqual(ends, ['hasty peer_silent']);
  const before = { ...repeats };
  for (let second = 0; second < 3600; second++) t.mock.timers.tick(1000);
  assert.deepEqual(repeats, { hasty: before.hasty, patient: before.patient + 3600 / 8 });
  for (const channel of channels) channel.end();
});

test('to a peer that is taken for dead nothing is sent, and when it is back everything', async (t) => {
  const link = wire(t);
  await link.left.send(candidate(1));
  await until(() => link.received.right.length === 1);
  let transmitted = 0;
  const ends: unknown[] = [];
  link.left.onclose = (error) => ends.push(error);
  link.copies = (_, from) => (from === 'left' ? (transmitted++, 0) : 1);
  await link.left.send(candidate(2));
  link.left.suspend();
  const before = transmitted;
  await link.left.send(candidate(3));
  await link.right.send(candidate(1)); // not acknowledged yet, and repeated
  link.left.outcome('gone');
  link.left.outcome('unavailable', 1);
  link.left.repeat();
  // The first repeats, and the acknowledgement, would have come by then.
  const end = Date.now() + 1_500;
  await until(() => Date.now() > end);
  assert.deepEqual([transmitted, ends, link.received.left], [before, [], [1]]);
  link.copies = () => 1;
  link.left.resume();
  await until(() => link.received.right.length === 3);
  assert.deepEqual(link.received, { left: [1], right: numbers(3) });
});

test('a peer that is taken for dead is waited for 30 s, and by a patient channel until it is gone', (t) => {
  mockClock(t);
  const ends: string[] = [];
  const [hasty, patient, lucky] = ['hasty', 'patient', 'lucky'].map((name) => {
    const channel = new RelayChannel(
      'peer',
      () => {},
      () => {},
    );
    channel.onclose = (error) => ends.push(`${name} ${(error as { code?: string } | undefined)?.code}`);
    channel.suspend();
    return channel;
  });
  assert(hasty && patient && lucky);
  patient.patient = true;
  t.mock.timers.tick(29_000);
  lucky.resume();
  assert.deepEqual(ends, []);
  t.mock.timers.tick(600_000);
  assert.deepEqual(ends, ['hasty peer_gone']);
  patient.patient = false;
  t.mock.timers.tick(30_000);
  assert.deepEqual(ends, ['hasty peer_gone', 'patient peer_gone']);
  lucky.end();
});

test('a channel to a peer that had one before goes on counting, and repeats what that left', async (t) => {
  const link = wire(t);
  for (const n of numbers(3)) await link.left.send(candidate(n));
  await until(() => link.received.right.length === 3 && link.left.first === undefined);
  link.copies = () => 0;
  await link.left.send(candidate(4));
  link.left.end();
  const transmit = (data: PeerData) => link.right.receive(JSON.parse(JSON.stringify(data)));
  const next = new RelayChannel('right', transmit, () => {}, link.left.sequence);
  t.after(() => next.end());
  next.repeat();
  await next.send(candidate(5));
  assert.deepEqual(link.received.right, numbers(5));
});

test('what cannot travel ends the channel, and is not in the way of the next one', async () => {
  const travelled: unknown[] = [];
  const transmit = (channel: () => RelayChannel) => (data: PeerData) => {
    if (data.kind === 'bye') channel().withdraw(data, new RendezvousError('frame_too_large', 'too large'));
    else travelled.push(data.kind === 'ack' ? undefined : data.seq);
  };
  const ends: unknown[] = [];
  const channel: RelayChannel = new RelayChannel(
    'peer',
    transmit(() => channel),
    () => {},
  );
  channel.onclose = (error) => ends.push((error as RendezvousError).code);
  await channel.send(candidate(1));
  await channel.send({ kind: 'bye', gen: 1, code: 'failed', message: 'x'.repeat(100) });
  assert.deepEqual(ends, ['frame_too_large']);
  const next: RelayChannel = new RelayChannel(
    'peer',
    transmit(() => next),
    () => {},
    channel.sequence,
  );
  next.repeat();
  await next.send(candidate(2));
  next.end();
  assert.deepEqual(travelled, [1, 1, 2]);
});

test("an offer keeps its message of the relayed path's handshake when it is repeated, and when others follow", async (t) => {
  mockClock(t);
  const link = wire(t);
  const seen = new Map<number, Set<string>>();
  link.copies = (data) => {
    if (data.kind === 'offer') {
      const messages = seen.get(data.gen) ?? new Set();
      seen.set(data.gen, messages.add(data.body.noise ?? 'none'));
    }
    return 0;
  };
  let made = 0;
  for (const gen of numbers(3)) {
    // Each negotiation has a handshake of its own.
    link.left.pathOffer = (of) => `handshake ${gen}, message ${(made += 1)} for ${of}`;
    await link.left.send({ kind: 'offer', gen, sdp: 'v=0' });
    t.mock.timers.tick(1_500);
    link.left.repeat();
  }
  assert.deepEqual(
    [...seen].map(([gen, messages]) => [gen, [...messages]]),
    numbers(3).map((gen) => [gen, [`handshake ${gen}, message ${gen} for ${gen}`]]),
  );
});

test('an offer comes before its message of the relayed path, so that its own negotiation answers that', async (t) => {
  const { left, right } = wire(t);
  const noiseOf = (gen: number): string => `${gen}`.repeat(43);
  left.pathOffer = noiseOf;
  const answered: string[] = [];
  // Each offer begins a negotiation that takes the place of the one before.
  const came = Promise.withResolvers<void>();
  right.onmessage = ({ gen }) => {
    right.onpath = (_, noise) => {
      answered.push(`negotiation ${gen}: ${noise}`);
      if (gen === 3) came.resolve();
    };
  };
  for (const gen of numbers(3)) await left.send({ kind: 'offer', gen, sdp: 'v=0' });
  await came.promise;
  assert.deepEqual(
    answered,
    numbers(3).map((gen) => `negotiation ${gen}: ${noiseOf(gen)}`),
  );
});
