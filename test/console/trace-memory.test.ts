import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Trace } from '../../console/src/rpc/trace.ts';

setFlagsFromString('--expose-gc');
const gc = runInNewContext('gc') as () => void;

const used = (): number => {
  gc();
  return process.memoryUsage().heapUsed;
};

test('a trace keeps the beginnings of long messages, and not the messages', async () => {
  const trace = new Trace();
  const before = used();
  const count = 150;
  for (let n = 0; n < count; n++) {
    const long = `${n}`.padEnd(900_000, 'x');
    trace.add('in', { jsonrpc: '2.0', id: long, method: `m${long}`, params: { long } });
    trace.add('out', { jsonrpc: '2.0', id: long, result: {} });
  }
  while (trace.recent.count.value < 2 * count) await new Promise((resolve) => setTimeout(resolve, 10));
  const kept = used() - before;
  const text = trace.recent.items.value.reduce((sum, entry) => sum + entry.text.length, 0);
  assert.ok(kept < text + 20_000_000, `${kept} bytes for ${text} characters`);
});
