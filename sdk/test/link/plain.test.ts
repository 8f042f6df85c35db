import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { eventually } from '../../../test/support/wait.ts';
import { RendezvousError } from '../../src/errors.ts';
import type { JsonRpcMessage } from '../../src/link/message.ts';
import { PlainLink } from '../../src/link/plain.ts';
import { type Carriers, connectCarriers, note } from './carriers.ts';

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
