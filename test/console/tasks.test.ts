import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { eventually } from '../support/wait.ts';
import { both, byHand, open, question, textOf } from './support/session-world.ts';

suite('tasks of 2026-07-28', () => {
  test('a task is followed to its end, and what it asks is answered', async (t) => {
    const { session, sent } = await open(t, both);
    const seen: string[] = [];
    const call = session.callTool('background', {}, { ontask: ({ status }) => seen.push(status) });
    (await question(session)).answer({ action: 'accept', content: { name: 'Ada' } });
    assert.equal(textOf(await call), '{"action":"accept","content":{"name":"Ada"}}');
    assert.deepEqual([seen[0], seen.at(-1)], ['input_required', 'completed']);
    assert.equal(sent.filter(({ message }) => message.method === 'tasks/update').length, 1);
    await assert.rejects(session.callTool('doomed', {}, {}), { code: -32_603, message: 'The oven went out.' });
    const cancel = new AbortController();
    const endless = session.callTool(
      'endless',
      {},
      { signal: cancel.signal, ontask: () => cancel.abort(new Error('x')) },
    );
    await assert.rejects(endless, /x/);
    await eventually(() => sent.at(-1)?.message.id !== undefined, 30_000, 'an answer');
    assert.equal(sent.filter(({ message }) => message.method === 'tasks/cancel').length, 1);
    const refusing = session.callTool('background', {}, {});
    (await question(session)).refuse('no');
    await assert.rejects(refusing, /You refused to answer/);
    await eventually(() => sent.filter(({ message }) => message.method === 'tasks/cancel').length === 2, 30_000);
  });

  test('what the server tells of a task comes before the next poll, and of another task it is left alone', async (t) => {
    const state = { taskId: 'x', status: 'working', statusMessage: 'slow', pollIntervalMs: 60_000 };
    const listening: { id: unknown; taskIds: string[] }[] = [];
    const { session, end, sent } = await open(
      t,
      byHand((message) => {
        if (message.method === 'tools/call') return { ...state, resultType: 'task' };
        const { notifications } = (message.params ?? {}) as { notifications?: { taskIds?: string[] } };
        if (notifications?.taskIds) listening.push({ id: message.id, taskIds: notifications.taskIds });
        return undefined;
      }),
    );
    const seen: unknown[] = [];
    const call = session.callTool('any', {}, { ontask: ({ statusMessage }) => seen.push(statusMessage) });
    await eventually(() => listening.length > 0, 30_000, 'a subscription');
    assert.deepEqual(listening[0]?.taskIds, ['x']);
    const meta = { 'io.modelcontextprotocol/subscriptionId': listening[0]?.id };
    const tell = (method: string, params: object) =>
      end.send({ jsonrpc: '2.0', method, params: { ...params, _meta: meta } });
    await tell('notifications/subscriptions/acknowledged', { notifications: { taskIds: ['x'] } });
    await tell('notifications/tasks', { ...state, taskId: 'y', statusMessage: 'of another' });
    await tell('notifications/tasks', { ...state, statusMessage: 'half done' });
    await eventually(() => seen.length === 2, 30_000, 'a change');
    await tell('notifications/tasks', {
      ...state,
      status: 'completed',
      statusMessage: 'done',
      result: { content: [] },
    });
    assert.deepEqual(await call, { content: [] });
    assert.deepEqual(seen, ['slow', 'half done', 'done']);
    assert.equal(
      session.listening?.all.value.some(({ asked }) => 'taskIds' in asked),
      false,
    );
    assert.equal(
      sent.some(({ message }) => message.method === 'tasks/get'),
      false,
    );
  });
});
