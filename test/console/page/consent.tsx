import { signal } from '@preact/signals';
import type { RemotePeer } from 'mcp-rendezvous';
import { render } from 'preact';
import { SettledButton } from '../../../console/src/consent/button.tsx';
import { McpSession } from '../../../console/src/mcp/session.ts';
import type { Rpc } from '../../../console/src/rpc/rpc.ts';
import { Gate } from '../../../console/src/share/gate.ts';
import { Asks } from '../../../console/src/view/asks.tsx';
import { Requests } from '../../../console/src/view/permission.tsx';

/** What the person has agreed to, by which name, and when. */
const consents: { to: string; at: number }[] = [];
const agreed = (to: string): void => void consents.push({ to, at: performance.now() });

let gate = new Gate();
let rpc: Pick<Rpc, 'onrequest' | 'onnotification'> = {};
const rows = signal<string[]>([]);
const withdrawals = new Map<string, AbortController>();

const requestedSchema = { type: 'object', properties: { q: { type: 'string' } } };

/** A client of the shared tab, or the server of a session, asks for something. */
function ask(kind: 'request' | 'elicitation' | 'sampling', name: string): void {
  const cancelled = new AbortController();
  withdrawals.set(name, cancelled);
  if (kind === 'request') {
    const peer = { id: name, subject: 'somebody', claims: {} } as RemotePeer;
    void gate.permit(peer, `do ${name}`, cancelled.signal, async () => agreed(name)).catch(() => {}); // denied
    return;
  }
  const asked =
    kind === 'elicitation'
      ? { method: 'elicitation/create', params: { message: name, requestedSchema } }
      : { method: 'sampling/createMessage', params: { messages: [], systemPrompt: name } };
  const answered = async (): Promise<void> => {
    const answer = (await rpc.onrequest?.(asked.method, asked.params, cancelled.signal)) as Record<string, unknown>;
    if (answer['action'] === 'accept' || answer['role'] === 'assistant') agreed(name);
  };
  void answered().catch(() => {}); // refused
}

const withdraw = (name: string): void => withdrawals.get(name)?.abort();

/** As the operator's list of peers has it: rows with a button each, which come and go. */
const Rows = () => (
  <ul>
    {rows.value.map((name) => (
      <li key={name}>
        <SettledButton standsFor={name} onPress={() => agreed(name)}>
          {`Kick ${name}`}
        </SettledButton>
      </li>
    ))}
  </ul>
);

/** A page as it is when it has just been opened. */
function start(): void {
  gate = new Gate();
  rpc = {};
  const session = new McpSession(rpc as Rpc); // it only asks, here
  rows.value = [];
  withdrawals.clear();
  consents.length = 0;
  render(undefined, document.body);
  render(
    <>
      <Requests gate={gate} />
      <Asks session={session} />
      <Rows />
    </>,
    document.body,
  );
}

Object.assign(globalThis, { consents, start, ask, withdraw, setRows: (names: string[]) => (rows.value = names) });
