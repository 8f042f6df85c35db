import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { eventually } from '../../../test/support/wait.ts';
import { RendezvousError } from '../../src/errors.ts';
import type { JsonRpcMessage } from '../../src/link/message.ts';
import { PlainLink } from '../../src/link/plain.ts';
import { type Carriers, connectCarriers, note, upTo } from './carriers.ts';
import { ManualClock } from './manual-clock.ts';
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

void suite('a plain link', () => {
  test('answers a request whose id nobody could answer to, and goes on', async (t) => {
    const { far, errors, messages, answers } = await plainLink(t);
    for (const id of [null, 1.5, {}, true]) far.send(JSON.stringify({ jsonrpc: '2.0', method: 'm', id }));
    far.send('{"jsonrpc":"2.0","id":null,"result":{}}');
    far.send(JSON.stringify(note(1)));
    await eventually(() => messages.length === 1 && answers.length === 4, 20_000);
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
    await clock.advance(3_000);
    assert.ok(pipe.open);
    await clock.advance(200);
    await closing;
    const refused = (await outcomes).filter((outcome) => outcome.status === 'rejected');
    assert.ok(refused.length > 0 && refused.every(({ reason }) => (reason as RendezvousError).code === 'closed'));
  });

  test('ends at once, with the error that it is given', async (t) => {
    const { link, far, closes } = await plainLink(t);
    const error = new RendezvousError('token_expired', 'over');
    link.end(error);
    link.end();
    assert.deepEqual(closes, [error]);
    await assert.rejects(link.send(note(1)), { code: 'closed' });
    await eventually(() => far.readyState === 'closed', 20_000);
  });
});
