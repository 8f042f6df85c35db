import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { problemsOfDocument, problemsOfProse, problemsOfSource } from '../scripts/prose.ts';

void suite('the language of documents, comments and messages', () => {
  test('uses the terms of the field', () => {
    const { read, problems } = problemsOfProse();
    assert.ok(read > 500, String(read));
    assert.deepEqual(problems, []);
  });

  test('is checked in comments, strings and identifiers, and across lines', () => {
    assert.deepEqual(problemsOfSource(' * Peers are told\n * of it.'), ['"are told of": write notified of, receives']);
    assert.deepEqual(problemsOfSource("  'More than this ' +\n  'relay takes.'"), [
      '"More than this relay takes": write Rate limit exceeded',
    ]);
    assert.deepEqual(problemsOfSource('this.#rosterOf(room)'), ['"roster": name it a Map']);
    assert.deepEqual(problemsOfSource('planet of proton plane'), []);
    const comment = '/* A refusal. */';
    assert.deepEqual(problemsOfSource(comment), ['"refusal": write rejection']);
    assert.deepEqual(problemsOfSource('const refusal = 1;'), []);
  });

  test('is checked in documents without their code, quotations and comments', () => {
    assert.deepEqual(problemsOfDocument('The relay says who\nis there.'), ['"who is there": write online peers']);
    const quoted = ['```', 'who is there', '```', '`who is there` "who is there" <!-- who is there -->'];
    assert.deepEqual(problemsOfDocument(quoted.join('\n')), []);
    assert.deepEqual(problemsOfDocument('| a | |\n| --- | --- |\n| b | c |'), ['a column without a header: | a | |']);
    assert.deepEqual(problemsOfDocument('| a | b |\n| --- | --- |\n| | c |'), []);
  });
});
