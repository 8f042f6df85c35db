import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import { suite, test } from 'node:test';
import * as fc from 'fast-check';
import { SocketRace } from '../../src/signaling/socket-race.ts';
import { ManualClock } from '../manual-clock.ts';

/** A race whose sockets stand or fail when the test says so. */
function race() {
  const clock = new ManualClock();
  const opened: (PromiseWithResolvers<Socket> & { signal: AbortSignal; at: number })[] = [];
  const open = (signal: AbortSignal): Promise<Socket> => {
    const opening = { ...Promise.withResolvers<Socket>(), signal, at: clock.now() };
    signal.addEventListener('abort', () => opening.reject(new Error('given up')), { once: true });
    opened.push(opening);
    return opening.promise;
  };
  const socket = (): Socket => {
    const made = { closed: false, close: () => void (made.closed = true) };
    return made;
  };
  return { clock, opened, socket, sockets: new SocketRace<Socket>(open, clock) };
}
interface Socket {
  closed: boolean;
  close(): void;
}

void suite('sockets that are opened beside each other', () => {
  test('the first that stands is taken, and the others are closed when they stand', async () => {
    const { clock, opened, socket, sockets } = race();
    await clock.advance(1_000);
    sockets.another();
    const [first, second] = [socket(), socket()];
    opened[1]!.resolve(second);
    assert.equal(await sockets.first, second);
    // A browser would report the first one, had it been closed by now.
    assert.ok(opened.every(({ signal }) => !signal.aborted));
    opened[0]!.resolve(first);
    await turn();
    assert.deepEqual([first.closed, second.closed], [true, false]);
    // Nothing is opened when it is over.
    await clock.advance(1_000);
    sockets.another();
    assert.equal(opened.length, 2);
  });

  test('one that hangs is given up a while after another one stands', async () => {
    const { clock, opened, socket, sockets } = race();
    await clock.advance(1_000);
    sockets.another();
    opened[1]!.resolve(socket());
    await sockets.first;
    await clock.advance(1_900);
    assert.equal(opened[0]!.signal.aborted, false);
    await clock.advance(100);
    assert.equal(opened[0]!.signal.aborted, true);
  });

  test('one that nobody needs any more is closed when it stands', async () => {
    const { opened, socket, sockets } = race();
    const ended = assert.rejects(sockets.first, { message: 'it answers after all' });
    sockets.end(new Error('it answers after all'));
    await ended;
    assert.equal(opened[0]!.signal.aborted, false);
    const late = socket();
    opened[0]!.resolve(late);
    await turn();
    assert.equal(late.closed, true);
  });

  test('one that fails is no reason to give up the others; the last one is', async () => {
    const { clock, opened, sockets } = race();
    const failed = assert.rejects(sockets.first, { message: 'second' });
    await clock.advance(1_000);
    sockets.another();
    opened[0]!.reject(new Error('first'));
    await turn();
    opened[1]!.reject(new Error('second'));
    await failed;
  });

  test('one that stands although it was given up is closed', async () => {
    const stubborn: PromiseWithResolvers<Socket>[] = [];
    const { clock, socket } = race();
    const sockets = new SocketRace<Socket>(() => {
      const opening = Promise.withResolvers<Socket>();
      stubborn.push(opening);
      return opening.promise;
    }, clock);
    await clock.advance(1_000);
    sockets.another();
    const [won, late] = [socket(), socket()];
    stubborn[1]!.resolve(won);
    await sockets.first;
    stubborn[0]!.resolve(late);
    await turn();
    assert.deepEqual([won.closed, late.closed], [false, true]);
  });

  test('whatever the hurry: at most four at a time, none soon after another, the oldest given up last of all', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 3_000 }), { maxLength: 30 }), async (waits) => {
        const { clock, opened, sockets } = race();
        sockets.first.catch(() => {});
        for (const wait of waits) {
          await clock.advance(wait);
          sockets.another();
          const alive = opened.filter(({ signal }) => !signal.aborted);
          assert.ok(alive.length >= 1 && alive.length <= 4, `${alive.length} at a time`);
          assert.deepEqual(alive, opened.slice(-alive.length), 'the youngest stay');
          assert.ok(clock.now() - opened.at(-1)!.at < 750, 'a hurry finds a young one, or makes it');
        }
        const gaps = opened.slice(1).map(({ at }, index) => at - opened[index]!.at);
        assert.ok(
          gaps.every((gap) => gap >= 750),
          gaps.join(),
        );
      }),
    );
  });
});
