import { inputRequired, inputResponse, type McpServer, type ProtocolEra } from '@modelcontextprotocol/server';
import * as z from 'zod';
import { asked, text, Witness } from '../../mcp/fixture.ts';
import { createServerV2 } from '../../mcp/server-v2.ts';

const tasksExtension = 'io.modelcontextprotocol/tasks';

interface Task {
  taskId: string;
  status: 'working' | 'input_required' | 'completed' | 'failed' | 'cancelled';
  statusMessage: string;
  createdAt: string;
  lastUpdatedAt: string;
  ttlMs: number;
  pollIntervalMs: number;
  inputRequests?: Record<string, unknown>;
  result?: unknown;
  error?: unknown;
}

/**
 * The fixture server of SDK v2 with what only 2026-07-28 has: cache hints, questions in rounds,
 * lists that change, and the tasks extension, which the SDK leaves to its users.
 */
export function createModernServer(era: ProtocolEra): McpServer {
  const server = createServerV2(new Witness(), era);
  server.registerResource('almanac', 'text://almanac', { cacheHint: { ttlMs: 60_000, cacheScope: 'public' } }, () => ({
    contents: [{ uri: 'text://almanac', text: 'Sunrise at six.' }],
  }));
  server.registerTool('grow', {}, () => {
    server.registerTool('grown', {}, () => text('new'));
    return text('grown');
  });
  server.registerPrompt('greet', {}, ({ mcpReq: { inputResponses } }) => {
    const view = inputResponse(inputResponses, 'name');
    if (view.kind === 'missing') {
      return inputRequired({ inputRequests: { name: inputRequired.elicit({ mode: 'form', ...asked.elicitation }) } });
    }
    const name = view.kind === 'elicit' ? view.content?.['name'] : undefined;
    return { messages: [{ role: 'user', content: { type: 'text', text: `Hello, ${String(name)}` } }] };
  });
  // A question in each of two rounds; the state says which one it is.
  server.registerTool('rounds', {}, ({ mcpReq: { inputResponses, requestState } }) => {
    const ask = (message: string, state: string) =>
      inputRequired({
        inputRequests: { more: inputRequired.elicit({ mode: 'form', ...asked.elicitation, message }) },
        requestState: state,
      });
    const view = inputResponse(inputResponses, 'more');
    const name = view.kind === 'elicit' ? String(view.content?.['name']) : '';
    const state = requestState<string>();
    if (state === undefined) return ask('Your first name?', 'first');
    if (state === 'first') return ask('Your last name?', name);
    return text(`${state} ${name}`);
  });
  if (era === 'modern') addTasks(server);
  return server;
}

function addTasks(server: McpServer): void {
  server.server.registerCapabilities({ extensions: { [tasksExtension]: {} } });
  const tasks = new Map<string, Task>();
  const begin = (change: Partial<Task>): Task => {
    const now = new Date().toISOString();
    const task: Task = {
      taskId: crypto.randomUUID(),
      status: 'working',
      statusMessage: 'at it',
      createdAt: now,
      lastUpdatedAt: now,
      ttlMs: 60_000,
      pollIntervalMs: 250,
      ...change,
    };
    tasks.set(task.taskId, task);
    return task;
  };
  // `content` satisfies the SDK's type, which does not know of tasks.
  const created = (task: Task) => ({ ...task, resultType: 'task', content: [] });
  server.registerTool('background', {}, () =>
    created(
      begin({
        status: 'input_required',
        statusMessage: 'needs a name',
        inputRequests: { who: { method: 'elicitation/create', params: { mode: 'form', ...asked.elicitation } } },
      }),
    ),
  );
  server.registerTool('doomed', {}, () =>
    created(begin({ status: 'failed', error: { code: -32_603, message: 'The oven went out.' } })),
  );
  server.registerTool('endless', {}, () => created(begin({ statusMessage: 'without an end' })));

  const id = z.object({ taskId: z.string() });
  const known = (taskId: string): Task => {
    const task = tasks.get(taskId);
    if (!task) throw new Error('Task not found');
    return task;
  };
  server.server.setRequestHandler('tasks/get', { params: id }, ({ taskId }) => ({ ...known(taskId) }));
  // The SDK takes the responses out of the parameters of every request.
  server.server.setRequestHandler('tasks/update', { params: id }, ({ taskId }, { mcpReq: { inputResponses } }) => {
    const task = known(taskId);
    delete task.inputRequests;
    Object.assign(task, { status: 'completed', result: text(JSON.stringify(inputResponses?.['who'])) });
    return {};
  });
  server.server.setRequestHandler('tasks/cancel', { params: id }, ({ taskId }) => {
    known(taskId).status = 'cancelled';
    return {};
  });
}
