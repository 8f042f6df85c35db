import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { followTask } from '../../console/src/mcp/follow.ts';

test('a task of which its server tells without end takes no more memory for that', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const used = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  let task: Record<string, unknown> = { taskId: 'a', status: 'working' };
  let tell: (task: Record<string, unknown>) => void = () => {};
  const followed = followTask(task, {
    signal: undefined,
    ontask: undefined,
    request: () => Promise.resolve(task),
    ask: () => Promise.reject(new Error('nothing is asked')),
    watch: (_, onchange) => {
      tell = onchange;
      return () => {};
    },
  });
  const flood = async (count: number): Promise<void> => {
    for (let n = 0; n < count; n++) {
      tell(task);
      await new Promise(setImmediate);
    }
  };
  await flood(1_000); // what is compiled and kept once
  const before = used();
  const count = 30_000;
  await flood(count);
  const each = (used() - before) / count;
  assert.ok(each < 100, `${each} bytes for each`);
  task = { ...task, status: 'completed', result: 'done' };
  tell(task);
  assert.equal(await followed, 'done');
});
