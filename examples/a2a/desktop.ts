import { Message, Role, SendMessageRequest, type StreamResponse, TaskState } from '@a2a-js/sdk';
import { ClientFactory, ServiceParameters, withA2AExtensions } from '@a2a-js/sdk/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { WebRTCServerTransport } from 'mcp-rendezvous';
import { A2ASignaling, readExtension } from 'mcp-rendezvous/a2a';

const [folder] = process.argv.slice(2);
if (!folder) throw new Error('Usage: node desktop.ts folder');
const agent = await new ClientFactory().createFromUrl(process.env['AGENT'] ?? 'http://127.0.0.1:41241');
const extension = readExtension(await agent.getAgentCard());
if (!extension?.offers) throw new Error('This agent takes no offers.');

// Asks the agent, with the offer beside the question. Its news come as a stream: first the answer
// to the offer, then the result. A connection that is lost is offered again, in the same context.
let contextId = '';
const signaling = new A2ASignaling(async (offer) => {
  const first = contextId === '';
  const text = first ? 'What are my notes about?' : 'Connecting again';
  const message: Message = {
    ...Message.fromJSON({ messageId: crypto.randomUUID(), parts: [{ text }] }),
    contextId,
    role: Role.ROLE_USER,
    ...offer,
  };
  const events = agent.sendMessageStream(
    { ...SendMessageRequest.fromJSON({}), message },
    { serviceParameters: ServiceParameters.create(withA2AExtensions(extension.uri)) },
  );
  for await (const event of events) {
    if (event.payload?.$case === 'task') contextId = event.payload.value.contextId;
    signaling.accept(event);
    if (first) show(event);
  }
});

// The MCP server: any one that speaks stdio, here as a pipe of messages between its process and the
// data channel.
const files = new StdioClientTransport({
  command: 'npx',
  args: ['-y', '@modelcontextprotocol/server-filesystem', folder],
});
const transport = new WebRTCServerTransport({ signaling });
transport.onmessage = (message) => void files.send(message);
files.onmessage = (message) => void transport.send(message);
transport.onclose = () => void files.close();
await files.start();
await transport.start();

function show({ payload }: StreamResponse): void {
  if (payload?.$case !== 'statusUpdate') return;
  const { state, message } = payload.value.status ?? {};
  const said = message?.parts.map(({ content }) => (content?.$case === 'text' ? content.value : '')).join('');
  if (state === TaskState.TASK_STATE_COMPLETED) console.log(said);
  if (state === TaskState.TASK_STATE_FAILED) console.error(said);
}
