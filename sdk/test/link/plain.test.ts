import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { eventually } from '../../../test/support/wait.ts';
import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { JsonRpcMessage } from '../../src/link/message.ts';
import { PlainLink } from '../../src/link/plain.ts';
import { type Carriers, connectCarriers, note, upTo } from './carriers.ts';
import { ManualClock } from '../manual-clock.ts';
import { PipeEnd } from './pipe.ts';

async function plainLink(t: TestContext) {
  const carriers: Carriers = await connectCarriers(t);
  const link = new PlainLink({ ...carriers.near, maxMessageBytes: 10_000 });
  const errors: RendezvousError[] = [];
  const closes: (RendezvousError | undefined)[] = [];
  const messages: JsonRpcMessage[] = [];
  link.onerror = (error) => errors.push(error);
  link.onclose = (error) => closes.push(error);
  link.onmessage = (message) => messages.push(message);
  link.start();
  const answers: unknown[] = [];
  carriers.far.channel.onmessage = ({ data }) => answers.push(JSON.parse(String(data)));
  return { link, far: carriers.far.channel, errors, closes, messages, answers };
}

/** A plain link over a pipe that is not started. */
function plainPipe({ maxMessageBytes = 10_485_760 } = {}) {
  const pipe = new PipeEnd();
  const link = new PlainLink({ ...pipe.carrier, maxMessageBytes });
  const errors: RendezvousError[] = [];
  const closes: (RendezvousError | undefined)[] = [];
  const messages: JsonRpcMessage[] = [];
  link.onerror = (error) => errors.push(error);
  link.onclose = (error) => closes.push(error);
  link.onmessage = (message) => messages.push(message);
  return { link, pipe, errors, closes, messages };
}

void suite('a plain link', () => {
  test('answers a request whose id nobody could answer to, and goes on', async (t) => {
    const { far, errors, messages, answers } = await plainLink(t);
    for (const id of [null, 1.5, {}, true]) far.send(JSON.stringify({ jsonrpc: '2.0', method: 'm', id }));
    far.send('{"jsonrpc":"2.0","id":null,"result":{}}');
    far.send(JSON.stringify(note(1)));
    await eventually(() => messages.length === 1 && answers.length === 4);
    assert.deepEqual(messages, [note(1)]);
    assert.ok(errors.length === 5 && errors.every(({ code }) => code === 'bad_message'));
    for (const answer of answers) {
      assert.partialDeepStrictEqual(answer, { jsonrpc: '2.0', error: { code: -32_600 } });
    }
  });

  test('takes as long to close as messages get on, however slowly', async () => {
    const clock = new ManualClock();
    const pipe = new PipeEnd();
    pipe.reading = false;
    const link = new PlainLink({ ...pipe.carrier, maxMessageBytes: 10_485_760, clock });
    const closes: (RendezvousError | undefined)[] = [];
    link.onclose = (error) => closes.push(error);
    link.start();
    // Each one fills the buffer.
    const sent = Promise.all(upTo(40).map((n) => link.send(note(n, 'x'.repeat(262_000)))));
    const closing = link.close();
    while (pipe.open) {
      await clock.advance(2_900);
      pipe.drain();
    }
    await Promise.all([closing, sent]);
    assert.deepEqual(closes, [undefined]);
  });

  test('does not wait for one who reads nothing', async () => {
    const clock = new ManualClock();
    const pipe = new PipeEnd();
    pipe.reading = false;
    const link = new PlainLink({ ...pipe.carrier, maxMessageBytes: 10_485_760, clock });
    link.start();
    const outcomes = Promise.allSettled(upTo(8).map((n) => link.send(note(n, 'x'.repeat(262_000)))));
    const closing = link.close();
    await clock.advance(2_999);
    assert.ok(pipe.open);
    await clock.advance(1);
    await closing;
    const refused = (await outcomes).filter((outcome) => outcome.status === 'rejected');
    assert.ok(refused.length > 0 && refused.every(({ reason }) => (reason as RendezvousError).code === 'closed'));
  });

  test('leaves it to the engine how long the other side may be silent', async () => {
    const clock = new ManualClock();
    const pipe = new PipeEnd();
    const flushed = Promise.withResolvers<void>();
    pipe.flush = () => flushed.promise;
    const link = new PlainLink({ ...pipe.carrier, maxMessageBytes: 10_485_760, clock });
    link.start();
    await link.send(note(1));
    const closing = link.close();
    await clock.advance(20_000);
    assert.ok(pipe.open, 'its buffer is empty, but the message may still be on its way');
    flushed.resolve();
    await closing;
    assert.ok(!pipe.open);
  });

  test('delivers what came before it, and drops what is no message for it', () => {
    const { link, pipe, messages, errors } = plainPipe({ maxMessageBytes: 1_024 });
    pipe.carrier.early.push(JSON.stringify(note(1)));
    link.start();
    pipe.put(Uint8Array.of(1));
    pipe.put(JSON.stringify(note(2, '€'.repeat(340))));
    pipe.put('{');
    pipe.put(JSON.stringify(note(3)));
    assert.deepEqual(messages, [note(1), note(3)]);
    assert.ok(errors.every(({ code }) => code === 'bad_message'));
    for (const [at, why] of [/binary/, /more than 1024 bytes/, /not JSON/].entries()) {
      assert.match(errors[at]?.message ?? '', why);
    }
    assert.equal(errors.length, 3);
  });

  test('refuses what is too large, and replaces a response that is', async () => {
    const { link, pipe, errors } = plainPipe({ maxMessageBytes: 1_024 });
    link.start();
    await assert.rejects(link.send(note(1, 'x'.repeat(1_024))), { code: 'message_too_large' });
    await assert.rejects(link.send(note(1, '€'.repeat(340))), { code: 'message_too_large' });
    await link.send({ jsonrpc: '2.0', id: 7, result: { text: 'x'.repeat(1_024) } });
    const [sent] = pipe.sent.map((text) => JSON.parse(new TextDecoder().decode(text)) as unknown);
    assert.partialDeepStrictEqual(sent, { id: 7, error: { code: -32_603 } });
    assert.deepEqual(
      errors.map(({ code }) => code),
      ['message_too_large'],
    );
  });

  test('says what became of a message that the channel does not take', async () => {
    const { link, pipe } = plainPipe();
    link.start();
    pipe.reading = false;
    const { channel } = pipe.carrier;
    await Promise.all(upTo(5).map((n) => link.send(note(n, 'x'.repeat(262_000)))));
    const waiting = link.send(note(5));
    const refused = assert.rejects(waiting, { code: 'engine_failed' });
    channel.send = () => {
      throw new TypeError('no');
    };
    pipe.drain();
    await refused;
    await assert.rejects(link.send(note(6)), { code: 'engine_failed' });
    channel.onclose = null; // the engine has not told of the end yet
    pipe.close();
    await assert.rejects(link.send(note(7)), { code: 'closed' });
  });

  test('has an error when its connection fails, and none when that is closed', () => {
    for (const [state, code] of [
      ['failed', 'session_lost'],
      ['closed', undefined],
    ] as const) {
      for (const early of [true, false]) {
        const { link, pipe, closes } = plainPipe();
        const connection = pipe.carrier.connection as { connectionState: string };
        if (early) connection.connectionState = state;
        link.start();
        connection.connectionState = state;
        pipe.carrier.connection.onconnectionstatechange?.(undefined);
        assert.deepEqual(
          closes.map((error) => error?.code),
          [code],
        );
      }
    }
    const { link, pipe, closes } = plainPipe();
    pipe.close();
    link.start();
    assert.deepEqual(closes, [undefined]);
  });

  test('closes all the same when the last messages may not have arrived, and says so', async () => {
    const { link, pipe, errors, closes } = plainPipe();
    pipe.flush = () => Promise.reject(new Error('no'));
    link.start();
    await link.close();
    assert.deepEqual(
      errors.map(({ code }) => code),
      ['engine_failed'],
    );
    assert.deepEqual(closes, [undefined]);
    await link.close();
    await assert.rejects(link.send(note(1)), { code: 'closed' });
  });

  test('has nothing to wait for when it ended before', async () => {
    const { link, closes } = plainPipe();
    link.start();
    link.end();
    await link.close();
    assert.deepEqual(closes, [undefined]);
  });

  test('ends at once, with the error that it is given', async (t) => {
    const { link, far, closes } = await plainLink(t);
    const error = new RendezvousError('token_expired', 'over');
    link.end(error);
    link.end();
    assert.deepEqual(closes, [error]);
    await assert.rejects(link.send(note(1)), { code: 'closed' });
    await eventually(() => far.readyState === 'closed');
  });
});
