import assert from 'node:assert/strict';
import { once } from 'node:events';
import { eventually, within } from '../support/wait.ts';
import type { Session } from './clients.ts';
import { answers, counterUri, poem, progressSteps, toolNames, type Witness } from './fixture.ts';
import type { ServerKind } from './servers.ts';

export async function tools(session: Session): Promise<void> {
  assert.deepEqual((await session.tools()).toSorted(), toolNames);
  assert.equal((await session.call('echo', { text: 'Grüße 🙂' })).text, 'Grüße 🙂');
  assert.deepEqual((await session.call('add', { a: 2, b: 3 })).structured, { sum: 5 });
}

export async function failures(session: Session, serverKind: ServerKind): Promise<void> {
  const failed = await session.call('fail');
  assert.equal(failed.isError, true);
  assert.equal(failed.text, 'it did not work');
  const threw = await session.call('throw');
  assert.equal(threw.isError, true);
  assert.match(threw.text, /it broke/);
  if (serverKind === 'v1') {
    // v1 answers with a result that is an error, v2 with a JSON-RPC error.
    const unknown = await session.call('nonsense');
    assert.equal(unknown.isError, true);
    assert.match(unknown.text, /nonsense/);
  } else {
    await assert.rejects(session.call('nonsense'), { code: -32_602, message: /nonsense/ });
  }
}

export async function resources(session: Session): Promise<void> {
  assert.equal(await session.read(poem.uri), poem.text);
  await assert.rejects(session.read('text://nothing'), /text:\/\/nothing/);
  const updates: string[] = [];
  session.events.on('updated', (uri) => updates.push(uri));
  await session.call('touch');
  const unwatch = await session.watch(counterUri);
  assert.equal((await session.call('touch')).text, '2');
  await eventually(() => updates.length > 0);
  assert.equal(await session.read(counterUri), '2');
  await unwatch();
  await session.call('touch');
  assert.deepEqual(updates, [counterUri]);
}

export async function progress(session: Session): Promise<void> {
  const steps: number[] = [];
  const { text } = await session.call('progress', {}, { onprogress: (step) => steps.push(step.progress) });
  assert.equal(text, 'done');
  assert.deepEqual(
    steps,
    Array.from({ length: progressSteps }, (_, index) => index + 1),
  );
}

export async function cancellation(session: Session, witness: Witness): Promise<void> {
  const abort = new AbortController();
  const waiting = once(witness, 'waiting');
  const cancelled = once(witness, 'cancelled');
  const call = session.call('wait', {}, { signal: abort.signal });
  const rejected = assert.rejects(call, /enough/);
  await within(waiting, 'the tool runs');
  abort.abort(new Error('enough'));
  await rejected;
  await within(cancelled, 'the server hears of it');
  assert.equal((await session.call('echo', { text: 'next' })).text, 'next');
}

export async function logging(session: Session): Promise<void> {
  const logged = once(session.events, 'log');
  await session.call('log');
  assert.deepEqual(await within(logged, 'the client hears what the server logs'), ['logged']);
}

/**
 * Requests from the server in the legacy era, results that ask for input in the modern one: the
 * tools' users see no difference.
 */
export async function questions(session: Session): Promise<void> {
  const answered = async (name: string): Promise<unknown> => JSON.parse((await session.call(name)).text);
  assert.deepEqual(await answered('ask-sampling'), answers.sampling.content);
  assert.deepEqual(await answered('ask-elicitation'), answers.elicitation.content);
  assert.deepEqual(await answered('ask-roots'), answers.roots.roots);
}

export async function manyCalls(session: Session): Promise<void> {
  const texts = Array.from({ length: 20 }, (_, index) => `${index} ${'x'.repeat(100 * (20 - index))}`);
  const results = await Promise.all(texts.map((text) => session.call('echo', { text })));
  assert.deepEqual(
    results.map(({ text }) => text),
    texts,
  );
}
