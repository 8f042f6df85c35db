import type { AddressInfo } from 'node:net';
import { AgentCard, Message, Role, Task, TaskState } from '@a2a-js/sdk';
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
import { type A2AAttributes, A2ASignaling, agentExtension, requestedUri } from 'mcp-rendezvous/a2a';
import { serveA2A } from './http.ts';

/** Signaling whose answers go back the way that their offer came. */
class Session {
  readonly signaling = new A2ASignaling((answer) => this.#publish(answer));
  readonly #ended = Promise.withResolvers<void>();
  #publish: (answer: A2AAttributes) => void = () => {};

  /** Resolves when the answer is out, or the session has ended. */
  async answer(offer: Message, publish: (answer: A2AAttributes) => void): Promise<void> {
    const answered = new Promise<void>((done) => {
      this.#publish = (answer) => done(publish(answer));
    });
    this.signaling.accept(offer);
    await Promise.race([answered, this.#ended.promise]);
  }

  end(): void {
    this.#ended.resolve();
  }
}

/** An agent in the cloud. It works with the files of whoever asks, which it has no other way to. */
class FileAgent implements AgentExecutor {
  /** By context: what goes on while the agent works. */
  readonly #sessions = new Map<string, Session>();

  async execute({ taskId, contextId, userMessage, context }: RequestContext, bus: ExecutionEventBus): Promise<void> {
    const uri = requestedUri(context.requestedExtensions);
    if (uri) context.addActivatedExtension(uri);
    const messageOf = (text: string, attributes?: A2AAttributes): Message => ({
      ...Message.fromJSON({ messageId: crypto.randomUUID(), contextId, parts: [{ text }] }),
      role: Role.ROLE_AGENT,
      ...attributes,
    });
    // A further message has another offer, after a connection that was lost: its answer is all the
    // reply that it needs.
    const known = this.#sessions.get(contextId);
    if (known) {
      const reply = (answer: A2AAttributes) => bus.publish(AgentEvent.message(messageOf('Connecting again', answer)));
      return await known.answer(userMessage, reply);
    }

    const say = (state: TaskState, text: string, attributes?: A2AAttributes) => {
      const status = {
        state,
        message: { ...messageOf(text, attributes), taskId },
        timestamp: new Date().toISOString(),
      };
      bus.publish(AgentEvent.statusUpdate({ taskId, contextId, status, metadata: undefined }));
    };
    const submitted = Task.fromJSON({ id: taskId, contextId, status: { state: 'TASK_STATE_SUBMITTED' } });
    bus.publish(AgentEvent.task({ ...submitted, history: [userMessage] }));

    // The offer came with the message; the answer goes back as the task's first news.
    const session = new Session();
    this.#sessions.set(contextId, session);
    void session.answer(userMessage, (answer) => say(TaskState.TASK_STATE_WORKING, 'Reading', answer));
    const client = new Client({ name: 'file-agent', version: '1.0.0' });
    try {
      await client.connect(new WebRTCClientTransport({ signaling: session.signaling }));
      say(TaskState.TASK_STATE_COMPLETED, await firstLines(client));
    } catch (error) {
      say(TaskState.TASK_STATE_FAILED, (error as Error).message);
    } finally {
      await client.close();
      this.#sessions.delete(contextId);
      session.end();
      bus.finished();
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
  capabilities: { streaming: true, extensions: [agentExtension({ offers: true, invitations: false })] },
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
