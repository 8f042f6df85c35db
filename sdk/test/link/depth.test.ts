import assert from 'node:assert/strict';
import { test } from 'node:test';
import { array, assert as check, constantFrom, property } from 'fast-check';
import { sampled } from '../../../test/support/full.ts';
import { jsonText } from '../../../test/support/hostile-json.ts';
import { isTooDeep, maxMessageDepth } from '../../src/link/depth.ts';
import { isJsonRpcMessage } from '../../src/link/message.ts';
import { parseMessage } from '../../src/link/reading.ts';

/** Written the slow way. */
function depthOf(value: unknown): number {
  let deepest = 0;
  const waiting: [value: unknown, depth: number][] = [[value, 1]];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const [one, depth] = next;
    if (typeof one !== 'object' || one === null) continue;
    deepest = Math.max(deepest, depth);
    for (const inner of Object.values(one)) waiting.push([inner, depth + 1]);
  }
  return deepest;
}

test('the depth of a text is that of its value', () => {
  const seen = new Set<boolean>();
  check(
    property(jsonText, (text) => {
      const right = depthOf(JSON.parse(text)) > maxMessageDepth;
      seen.add(right);
      assert.equal(isTooDeep(text), right);
    }),
    { numRuns: sampled(2000) },
  );
  assert.equal(seen.size, 2);
});

test('brackets in strings do not count', () => {
  const piece = constantFrom('{', '[', '\\"', '\\\\', '}', '"', 'x');
  check(
    property(array(piece, { maxLength: 30 }), (pieces) => {
      const content = pieces.map((one) => (one === '"' ? '\\"' : one)).join('');
      const inner = `{"${content}":"${'[{'.repeat(600)}${content}"}`;
      assert.equal(isTooDeep(`${'['.repeat(maxMessageDepth - 1)}${inner}${']'.repeat(maxMessageDepth - 1)}`), false);
      assert.equal(isTooDeep(`${'['.repeat(maxMessageDepth)}${inner}${']'.repeat(maxMessageDepth)}`), true);
    }),
  );
});

const deep = `${'[{"a":'.repeat(5_000)}1${'}]'.repeat(5_000)}`;

test('a message that is too deep is refused, and whoever waits for an answer gets an error', () => {
  const request = parseMessage(`{"jsonrpc":"2.0","id":7,"method":"m","params":{"x":${deep}}}`);
  assert.ok(request.type === 'invalid');
  assert.deepEqual([request.error.code, request.reply?.id, request.reply?.error.code], ['bad_message', 7, -32_600]);
  const notification = parseMessage(`{"jsonrpc":"2.0","method":"m","params":{"x":${deep}}}`);
  assert.ok(notification.type === 'invalid' && notification.reply === undefined);
  for (const answer of [`"result":{"x":${deep}}`, `"error":{"code":1,"message":"m","data":${deep}}`]) {
    const response = parseMessage(`{"jsonrpc":"2.0","id":"a",${answer}}`);
    assert.ok(response.type === 'invalid' && response.reply === undefined);
    assert.deepEqual([response.instead?.id, response.instead?.error.code], ['a', -32_603]);
    assert.ok(isJsonRpcMessage(response.instead));
  }
  const ofNone = parseMessage(`{"jsonrpc":"2.0","error":{"code":1,"message":"of no request","data":${deep}}}`);
  assert.ok(ofNone.type === 'invalid' && ofNone.instead === undefined);
});
