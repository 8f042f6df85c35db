import assert from 'node:assert/strict';
import type { RtcDataChannel } from '../peer/engine.ts';
import { type ContractCase, contractCase, type Scope } from './case.ts';
import type { Engines } from './engines.ts';
import { closing, type Pair, receiving } from './rtc-pair.ts';

export function channelCases(engines: Engines): ContractCase[] {
  const { offering, answering, soon } = engines;
  const connected = (name: string, body: (pair: Pair, scope: Scope) => Promise<void>): ContractCase =>
    contractCase(name, async (scope) => body(await engines.connect(scope), scope));
  const flush = async (pair: Pair, channel: RtcDataChannel) =>
    soon((channel === pair.near ? offering : answering).flush?.(channel) ?? Promise.resolve(), 'the flush');

  return [
    connected('a channel carries text and binary both ways', async ({ near, far }) => {
      for (const channel of [near, far]) {
        assert.deepEqual(
          [channel.label, channel.ordered, channel.maxRetransmits, channel.maxPacketLifeTime, channel.readyState],
          ['mcp', true, null, null, 'open'],
        );
      }
      for (const [from, to] of bothWays(near, far)) {
        const received = receiving(to, 3);
        from.send('grüß Gott \u{1f44b} \0');
        from.send(Uint8Array.of(1, 2, 3, 4).subarray(1, 3));
        from.send(new DataView(Uint8Array.of(4, 5, 6).buffer, 1, 1));
        assert.deepEqual(await soon(received, 'three messages'), [
          'grüß Gott \u{1f44b} \0',
          Uint8Array.of(2, 3).buffer,
          Uint8Array.of(5).buffer,
        ]);
      }
    }),

    connected('a message has at most 262,144 bytes, and at least one', async ({ near, far, offerer, answerer }) => {
      for (const connection of [offerer, answerer]) assert.equal(connection.sctp?.maxMessageSize, 262_144);
      for (const [from, to] of bothWays(near, far)) {
        const message = 'x'.repeat(262_144);
        const received = receiving(to, 3);
        from.send(message);
        from.send(new Uint8Array(262_144).fill(7));
        for (const refused of [
          `${message}x`,
          new Uint8Array(262_145),
          'ü'.repeat(131_073), // counted in bytes of UTF-8
          '',
          new Uint8Array(0),
        ]) {
          assert.throws(() => from.send(refused), TypeError);
        }
        from.send('after');
        const [text, bytes, after] = await soon(received, 'the messages');
        assert.equal(text, message);
        assert(bytes instanceof ArrayBuffer && bytes.byteLength === 262_144);
        assert(new Uint8Array(bytes).every((byte) => byte === 7));
        assert.equal(after, 'after');
      }
    }),

    connected('what comes before anyone listens is kept, in order', async (pair) => {
      for (let n = 0; n < 10; n++) pair.near.send(`message ${n}`);
      await flush(pair, pair.near);
      const received = receiving(pair.far, 11);
      pair.near.send('message 10');
      assert.deepEqual(
        await soon(received, 'eleven messages'),
        Array.from({ length: 11 }, (_, n) => `message ${n}`),
      );
    }),

    connected('what was in the buffer when it was given is sent', async ({ near, far }) => {
      const received = receiving(far, 20);
      const buffer = new Uint8Array(60_000);
      for (let n = 0; n < 20; n++) near.send(buffer.fill(n));
      const messages = await soon(received, 'twenty messages');
      messages.forEach((message, n) => {
        assert(message instanceof ArrayBuffer);
        assert(new Uint8Array(message).every((byte) => byte === n));
      });
    }),

    connected('it is told when little is left to send', async ({ near, far }) => {
      const count = 80;
      const received = receiving(far, count);
      near.bufferedAmountLowThreshold = 100_000;
      const low = new Promise<number>((resolve) => {
        near.onbufferedamountlow = () => resolve(near.bufferedAmount);
      });
      let most = 0;
      for (let n = 0; n < count; n++) {
        near.send(new Uint8Array(100_000));
        // An engine with threads of its own may have sent all of it when the last one is given.
        most = Math.max(most, near.bufferedAmount);
      }
      assert(most > 100_000);
      assert((await soon(low, 'the buffer to empty')) <= 100_000);
      await soon(received, 'all of it');
    }),

    ...(['offerer', 'answerer'] as const).flatMap((end) =>
      (['channel', 'connection'] as const).flatMap((how) =>
        [[30, 16_384] as const, [1, 20] as const].map(([count, size]) =>
          connected(
            `what the ${end} flushed before it closes the ${how} arrives, and then the end: ${count} of ${size} bytes`,
            async (pair) => {
              const [from, to] = end === 'offerer' ? [pair.near, pair.far] : [pair.far, pair.near];
              const received: unknown[] = [];
              to.onmessage = ({ data }) => received.push(data);
              const closed = closing(to);
              for (let n = 0; n < count; n++) from.send(String(n).padEnd(size, '.'));
              await flush(pair, from);
              if (how === 'channel') from.close();
              else void pair[end].close();
              await soon(closed, 'the other end to hear of it');
              assert.equal(received.length, count);
              assert(from.readyState === 'closed' || from.readyState === 'closing');
              assert.equal(to.readyState, 'closed');
            },
          ),
        ),
      ),
    ),

    contractCase('nothing can be sent before the channel is open or after it is closed', async (scope) => {
      const invalidState = { name: 'InvalidStateError' };
      const unopened = engines.create(scope).offerer;
      const connecting = unopened.createDataChannel('mcp');
      assert.throws(() => connecting.send('too early'), invalidState);
      const gone = closing(connecting);
      await unopened.close();
      await soon(gone, 'the end of a channel that never opened');
      assert.throws(() => connecting.send('too late'), invalidState);
      const { near, far } = await engines.connect(scope);
      const closed = Promise.all([closing(near), closing(far)]);
      near.close();
      assert.throws(() => near.send('too late'), invalidState);
      await soon(closed, 'both ends to close');
      assert.throws(() => near.send('too late'), invalidState);
      assert.throws(() => far.send('too late'), invalidState);
    }),
  ];
}

const bothWays = (near: RtcDataChannel, far: RtcDataChannel): [RtcDataChannel, RtcDataChannel][] => [
  [near, far],
  [far, near],
];
