import { signal } from '@preact/signals';
import type { RemotePeer } from 'mcp-rendezvous';
import { render } from 'preact';
import { AppBridge } from '../../../console/src/apps/bridge.ts';
import { policyOf } from '../../../console/src/apps/policy.ts';
import { SettledButton } from '../../../console/src/consent/button.tsx';
import { Modern } from '../../../console/src/mcp/modern.ts';
import { McpSession } from '../../../console/src/mcp/session.ts';
import type { Rpc } from '../../../console/src/rpc/rpc.ts';
import { Gate } from '../../../console/src/share/gate.ts';
import { Asks } from '../../../console/src/view/asks.tsx';
import { Requests } from '../../../console/src/view/permission.tsx';

/** What the person has agreed to, by which name, and when. */
const consents: { to: string; at: number }[] = [];
const agreed = (to: string): void => void consents.push({ to, at: performance.now() });

let gate = new Gate();
let rpc: Pick<Rpc, 'onrequest' | 'onnotification'> & Partial<Pick<Rpc, 'request'>> = {};
let bridge: AppBridge | undefined;
let session = new McpSession(rpc as Rpc); // it only asks, here
const rows = signal<string[]>([]);
const withdrawals = new Map<string, AbortController>();

const requestedSchema = { type: 'object', properties: { q: { type: 'string' } } };

/** A client of the shared tab, the server of a session, or its app asks for something. */
function ask(kind: 'request' | 'elicitation' | 'sampling' | 'round' | 'app', name: string): void {
  const cancelled = new AbortController();
  withdrawals.set(name, cancelled);
  if (kind === 'request') {
    const peer = { id: name, subject: 'somebody', claims: {} } as RemotePeer;
    // Denied.
    void gate.permit(peer, `do ${name}`, cancelled.signal, async () => agreed(name)).catch(() => {});
    return;
  }
  if (kind === 'app') {
    tell({ id: name, method: 'tools/call', params: { name } });
    cancelled.signal.addEventListener('abort', () =>
      tell({ method: 'notifications/cancelled', params: { requestId: name } }),
    );
    return;
  }
  if (kind === 'round') {
    // The person refuses, or the call is cancelled.
    return void new Modern(roundOf(name), session.asks)
      .callTool({ name }, { signal: cancelled.signal })
      .catch(() => {});
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

/** A message of the app. */
const tell = (message: object): void => bridge?.receive(JSON.stringify({ jsonrpc: '2.0', ...message }));
/** A server of 2026-07-28, which needs an answer before it has a result. */
const roundOf = (name: string): Rpc =>
  // All that is used of it.
  ({
    async request(_: string, { inputResponses }: Record<string, unknown>) {
      const question = { method: 'sampling/createMessage', params: { messages: [], systemPrompt: name } };
      if (inputResponses === undefined) return { resultType: 'input_required', inputRequests: { question } };
      agreed(name);
      return { resultType: 'complete', content: [] };
    },
  }) as unknown as Rpc;

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
  rpc = { request: async (_method, params) => agreed(String(params?.['name'])) };
  session = new McpSession(rpc as Rpc);
  session.tools.value = { items: Array.from({ length: 100 }, (_, n) => ({ name: `x${n}` })), state: 'ready' };
  const app = { html: '', policy: policyOf(undefined, false) };
  bridge = new AppBridge({ session, tool: { name: 'tool' }, app, context: () => ({}), post: () => {} });
  tell({ id: 0, method: 'ui/initialize', params: { appInfo: {}, appCapabilities: {} } });
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
