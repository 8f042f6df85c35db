import { McpServer } from '@modelcontextprotocol/server';
import { listen } from 'mcp-rendezvous';
import * as z from 'zod';
import { byId, create, messageOf, showState } from './dom.ts';
import { enterRoom, randomName } from './room.ts';

const note = byId('note', HTMLTextAreaElement);
const activity = byId('activity', HTMLOListElement);
const text = (value: string) => ({ content: [{ type: 'text' as const, text: value }] });

/** What this tab offers: its clock, and the note on it. */
function createServer(client: string): McpServer {
  const server = new McpServer({ name: document.title, version: '1.0.0' });
  server.registerTool('time', { title: 'Time', description: "The time on the shared tab's clock." }, () => {
    tell(`${client} asked for the time`);
    return text(new Date().toString());
  });
  server.registerTool(
    'read_note',
    { title: 'Read the note', description: 'The note, or what is selected in it.' },
    () => {
      tell(`${client} read the note`);
      return text(note.value.slice(note.selectionStart, note.selectionEnd) || note.value);
    },
  );
  server.registerTool(
    'write_note',
    {
      title: 'Write the note',
      description: 'Replaces the note that the person in front of the shared tab sees.',
      inputSchema: z.object({ text: z.string().max(1000).describe('The new note') }),
    },
    ({ text: value }) => {
      tell(`${client} wrote the note`);
      note.value = value;
      return text('Written.');
    },
  );
  return server;
}

function tell(what: string): void {
  const time = new Date();
  activity.prepend(
    create('li', {}, create('time', { dateTime: time.toISOString() }, time.toLocaleTimeString()), ` ${what}`),
  );
}

function showClients(count: number): void {
  showState(count > 0 ? 'connected' : 'waiting', count === 1 ? '1 client' : count > 1 ? `${count} clients` : 'Waiting');
}

async function share(): Promise<void> {
  // Unguessable: who knows the link may use this tab.
  const room = randomName(4);
  let clients = 0;
  const listener = await listen(await enterRoom(room, 'server'), async (transport, { subject }) => {
    const server = createServer(subject);
    await server.connect(transport);
    showClients(++clients);
    tell(`${subject} connected`);
    server.server.onclose = () => {
      showClients(--clients);
      tell(`${subject} left`);
    };
  });
  listener.onerror = (error) => tell(error.message);
  listener.onclose = (error) => showState('closed', error ? error.message : 'Closed');
  const link = byId('link', HTMLAnchorElement);
  link.href = `/client#${room}`;
  link.textContent = link.href;
  showClients(0);
}

const copy = byId('copy', HTMLButtonElement);
copy.hidden = !isSecureContext; // over plain http, pages have no clipboard
copy.onclick = async () => {
  await navigator.clipboard.writeText(byId('link', HTMLAnchorElement).href);
  copy.textContent = 'Copied';
};
share().catch((error: unknown) => showState('closed', messageOf(error)));
