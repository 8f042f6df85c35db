import * as fc from 'fast-check';
import {
  createSecret,
  type JsonRpcMessage,
  listen,
  type Path,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { createInvitation } from 'mcp-rendezvous/token';
import { testToken } from '../../server/test/support/peer.ts';
import { BlockableEngine } from '../relayed/pair.ts';
import { eventually, within } from '../support/wait.ts';
import { type Cut, CuttingWire } from './cutting-wire.ts';

/** How a session opens, and where its way to the relay is cut meanwhile. */
export interface Moment {
  /** `moving`: it begins on the relayed path and moves to a direct one. */
  path: 'direct' | 'relayed' | 'moving';
  /**
   * `one`: a transport for exactly one client; else a listener, whose client comes with an
   * invitation, `once` with one for a single session.
   */
  server: 'one' | 'listener' | 'once';
  cut: Cut;
}

/** An opening passes about twenty frames; later ones are those of the session. */
const mostFrames = 20;

export const momentsOf = (paths: Moment['path'][], mostRefused: number): fc.Arbitrary<Moment> =>
  fc.record({
    path: fc.constantFrom(...paths),
    server: fc.constantFrom<Moment['server'][]>('one', 'listener', 'once'),
    cut: fc.record({
      frame: fc.integer({ min: 1, max: mostFrames }),
      delivered: fc.boolean(),
      what: fc.constantFrom<Cut['what'][]>('client', 'server', 'both', 'restart'),
      refused: fc.integer({ min: 0, max: mostRefused }),
    }),
  });

/** A server in a room, and how its client gets there. */
interface Serving {
  client: { invitation: string } | { relay: string; token: string; secret: string };
  close(): Promise<void>;
}

/** What the server sees. */
class Sessions {
  /** Those that have not ended, be they open or not. */
  readonly all = new Set<WebRTCServerTransport>();
  readonly opened = new Set<WebRTCServerTransport>();
  calls = 0;

  async open(transport: WebRTCServerTransport): Promise<void> {
    this.all.add(transport);
    transport.onclose = () => {
      this.all.delete(transport);
      this.opened.delete(transport);
    };
    transport.onmessage = (message: JsonRpcMessage) => {
      if (!('method' in message) || message.method !== call.method) return;
      this.calls++;
      void transport.send({ jsonrpc: '2.0', id: call.id, result: {} });
    };
    await transport.start();
    this.opened.add(transport);
  }

  get one(): boolean {
    const stand = [...this.opened].every(({ state }) => state === 'connected');
    return stand && this.all.size === 1 && this.opened.size === 1 && this.calls === 1;
  }
}

const call = { jsonrpc: '2.0', id: 1, method: 'tools/call' } as const;
let rooms = 0;

/**
 * Opens a session whose way to the relay is cut meanwhile. Rejects unless `start()` resolves, one
 * session is left at the server, and a call gets its answer and runs once.
 *
 * @param relays see {@link CuttingWire.start}
 */
export async function openAt({ path, server, cut }: Moment, relays: [before: string, after: string]): Promise<void> {
  const wire = await CuttingWire.start(relays, cut);
  const paths: Path[] = path === 'direct' ? ['direct'] : ['direct', 'relayed'];
  const options = () => ({ paths, rtc: new BlockableEngine(path === 'relayed'), connectTimeoutMs: 60_000 });
  const sessions = new Sessions();
  const serving = server === 'one' ? await serveOne() : await serveAll();
  const client = new WebRTCClientTransport({ ...options(), ...serving.client });
  const answered = Promise.withResolvers<void>();
  client.onmessage = (message) => 'id' in message && message.id === call.id && answered.resolve();
  try {
    wire.begin();
    await client.start();
    await client.send(call);
    await within(answered.promise, 'the answer');
    if (path === 'moving') await eventually(() => client.path === 'direct', undefined, 'the direct path');
    const one = () => sessions.one && client.state === 'connected';
    await eventually(one, undefined, 'one session, and one call');
  } finally {
    await Promise.all([client.close(), serving.close()]);
    wire.stop();
  }

  async function serveAll(): Promise<Serving> {
    const token = await testToken({ room: `opening ${rooms++}`, role: 'server', invite: 3600 });
    const invitation = createInvitation({ relay: wire.url, token, secret: createSecret() });
    const listener = await listen({ ...options(), invitation }, (transport) => sessions.open(transport));
    const { invitation: invited } = await listener.invite({ once: server === 'once' });
    return { client: { invitation: invited }, close: () => listener.close() };
  }

  async function serveOne(): Promise<Serving> {
    const room = `opening ${rooms++}`;
    const own = { relay: wire.url, secret: createSecret() };
    const joined = Promise.withResolvers<void>();
    const transport = new WebRTCServerTransport({
      ...options(),
      ...own,
      token: await testToken({ room, role: 'server' }),
      ondiagnostic: ({ type }) => type === 'joined' && joined.resolve(),
    });
    // Its end is seen by what there is of it.
    sessions.open(transport).catch(() => undefined);
    await within(joined.promise, 'the server joins');
    const token = await testToken({ room, role: 'client' });
    return { client: { ...own, token }, close: () => transport.close() };
  }
}
