import { Client, type Tool } from '@modelcontextprotocol/client';
import { WebRTCClientTransport } from 'mcp-rendezvous';
import { byId, create, messageOf, showState } from './dom.ts';
import { enterRoom } from './room.ts';

const tools = byId('tools', HTMLElement);

/** A form for a tool: a field for each string of its input, a button, and what came back. */
function toolForm(client: Client, { name, title, description, inputSchema }: Tool): HTMLElement {
  const output = create('output');
  const button = create('button', { type: 'submit', ariaLabel: `Call: ${title ?? name}` }, 'Call');
  const form = create(
    'form',
    { className: 'card' },
    create('h2', {}, title ?? name),
    create('p', {}, description ?? ''),
  );
  for (const [key, schema] of Object.entries(inputSchema.properties ?? {})) {
    const { description: label = key } = schema as { description?: string };
    const required = inputSchema.required?.includes(key) ?? false;
    form.append(create('label', {}, label, create('input', { name: key, required, autocomplete: 'off' })));
  }
  form.append(button, output);
  form.onsubmit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      const given = Object.fromEntries(new FormData(form));
      const { content, isError } = await client.callTool({ name, arguments: given });
      output.textContent = content.map((part) => (part.type === 'text' ? part.text : `(${part.type})`)).join('\n');
      output.classList.toggle('error', isError === true);
    } catch (error) {
      output.textContent = messageOf(error);
      output.classList.add('error');
    } finally {
      button.disabled = false;
    }
  };
  return form;
}

async function connect(): Promise<void> {
  const room = location.hash.slice(1);
  if (!room) throw new Error('The link has no room: take it from the tab that is shared.');
  const transport = new WebRTCClientTransport(await enterRoom(room, 'client'));
  const client = new Client({ name: document.title, version: '1.0.0' });
  client.onclose = () => {
    showState('closed', 'The other tab has gone');
    for (const control of tools.querySelectorAll('button')) control.disabled = true;
  };
  // It begins on the relayed path, and moves to a better one when that stands.
  transport.onpathchange = (path) => (byId('path', HTMLElement).textContent = pathNames[path]);
  await client.connect(transport);
  showState('connected', 'Connected');
  tools.replaceChildren(...(await client.listTools()).tools.map((tool) => toolForm(client, tool)));
}

const pathNames = { direct: 'directly', turn: 'through a TURN server', relayed: 'through the relay, encrypted' };

connect().catch((error: unknown) => showState('closed', messageOf(error)));
