import type { AddressInfo } from 'node:net';
import { AgentCard, Message, Part, Role, Task, TaskState } from '@a2a-js/sdk';
import {
  AgentEvent,
  type AgentExecutor,
  DefaultRequestHandler,
  type ExecutionEventBus,
  InMemoryTaskStore,
  type RequestContext,
} from '@a2a-js/sdk/server';
import { Client } from '@modelcontextprotocol/client';
import { WebRTCClientTransport } from 'mcp-rendezvous';
import { A2ASignaling, agentExtension, extensionUri } from 'mcp-rendezvous/a2a';
import { serveA2A } from './http.ts';

/** An agent in the cloud. It works with the files of whoever asks, which it has no other way to. */
class FileAgent implements AgentExecutor {
  readonly #tasks = new Map<string, { signaling: A2ASignaling; ended: Promise<void> }>();

  async execute({ taskId, contextId, userMessage, context }: RequestContext, bus: ExecutionEventBus): Promise<void> {
    context.addActivatedExtension(extensionUri);
    // A further message of a task has another offer, after a connection that was lost. A stream ends when execute() does.
    const task = this.#tasks.get(taskId);
    if (task) {
      task.signaling.accept(userMessage);
      return await task.ended;
    }

    const say = (state: TaskState, part: Part) => {
      const message: Message = {
        ...Message.fromJSON({ messageId: crypto.randomUUID(), taskId, contextId, extensions: [extensionUri] }),
        role: Role.ROLE_AGENT,
        parts: [part],
      };
      const status = { state, message, timestamp: new Date().toISOString() };
      bus.publish(AgentEvent.statusUpdate({ taskId, contextId, status, metadata: undefined }));
    };
    const submitted = Task.fromJSON({ id: taskId, contextId, status: { state: 'TASK_STATE_SUBMITTED' } });
    bus.publish(AgentEvent.task({ ...submitted, history: [userMessage] }));

    // The offer came with the message; the answer goes back as the task's first news.
    const signaling = new A2ASignaling((answer) => say(TaskState.TASK_STATE_WORKING, answer));
    signaling.accept(userMessage);
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    this.#tasks.set(taskId, { signaling, ended });
    const client = new Client({ name: 'file-agent', version: '1.0.0' });
    try {
      await client.connect(new WebRTCClientTransport({ signaling }));
      say(TaskState.TASK_STATE_COMPLETED, Part.fromJSON({ text: await firstLines(client) }));
    } catch (error) {
      say(TaskState.TASK_STATE_FAILED, Part.fromJSON({ text: (error as Error).message }));
    } finally {
      await client.close();
      bus.finished();
      this.#tasks.delete(taskId);
      end();
    }
  }

  async cancelTask(): Promise<void> {}
}

/** Stands for what your agent does with tools. */
async function firstLines(client: Client): Promise<string> {
  const call = async (name: string, args: Record<string, string>): Promise<string> => {
    const { content } = await client.callTool({ name, arguments: args });
    return content.map((part) => (part.type === 'text' ? part.text : '')).join('');
  };
  const folder = (await call('list_allowed_directories', {})).split('\n')[1] ?? '';
  const files = (await call('list_directory', { path: folder })).matchAll(/^\[FILE\] (.*)$/gm);
  const lines: string[] = [];
  for (const [, name] of files) {
    const contents = await call('read_text_file', { path: `${folder}/${name}` });
    lines.push(`${name}: ${contents.split('\n')[0]}`);
  }
  return lines.join('\n');
}

const { PORT: port = '41241' } = process.env;
const card = AgentCard.fromJSON({
  name: 'File agent',
  description: 'Reads the first line of every file that you share with it.',
  version: '1.0.0',
  capabilities: { streaming: true, extensions: [agentExtension()] },
  defaultInputModes: ['text/plain'],
  defaultOutputModes: ['text/plain'],
});
const server = serveA2A(new DefaultRequestHandler(card, new InMemoryTaskStore(), new FileAgent()));
server.listen(Number(port), '127.0.0.1', () => {
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  card.supportedInterfaces.push({
    url: `${address}/a2a`,
    protocolBinding: 'JSONRPC',
    tenant: '',
    protocolVersion: '1.0',
  });
  console.log(`agent: ${address}`);
});
process.once('SIGINT', () => server.close());
