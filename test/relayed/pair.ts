import type { TestContext } from 'node:test';
import { WebRTCClientTransport, WebRTCServerTransport } from '../../sdk/src/index.ts';
import type { JsonRpcMessage } from '../../sdk/src/link/message.ts';
import type { Engine } from '../../sdk/src/peer/engine.ts';
import { weriftEngine } from '../../sdk/src/peer/werift.ts';
import type { WebRTCTransport } from '../../sdk/src/transport/transport.ts';
import type { ConnectOptions, Path } from '../../sdk/src/transport/types.ts';
import { testToken } from '../../server/test/support/peer.ts';
import { eventually } from '../support/wait.ts';

/** An engine whose connections find no way to each other while it is blocked. */
export class BlockableEngine implements Engine {
  blocked: boolean;
  /** Behind a strict NAT: only TURN gets through. */
  strict = false;
  readonly name = weriftEngine.name;
  readonly restartsIce = weriftEngine.restartsIce;
  readonly authenticate = (...args: Parameters<NonNullable<Engine['authenticate']>>) =>
    weriftEngine.authenticate!(...args);
  readonly #held: (() => Promise<void>)[] = [];
  readonly connections: ReturnType<Engine['createPeerConnection']>[] = [];

  constructor(blocked: boolean) {
    this.blocked = blocked;
  }

  createPeerConnection(...args: Parameters<Engine['createPeerConnection']>) {
    const connection = weriftEngine.createPeerConnection(...args);
    this.connections.push(connection);
    const add = connection.addIceCandidate.bind(connection);
    connection.addIceCandidate = async (candidate) => {
      if (this.strict && !/ typ relay/.test(candidate.candidate ?? '')) return;
      if (this.blocked) this.#held.push(() => add(candidate));
      else await add(candidate);
    };
    return connection;
  }

  /** Connections that were made while it was blocked find their way now. */
  unblock(): void {
    this.blocked = false;
    for (const add of this.#held.splice(0)) void add().catch(() => {});
  }

  /** Every connection ends without a word. */
  cut(): void {
    for (const connection of this.connections.splice(0)) void connection.close();
  }
}

/** One end, and what it was told. */
export class End {
  readonly transport: WebRTCTransport;
  readonly messages: JsonRpcMessage[] = [];
  readonly errors: Error[] = [];
  readonly paths: Path[] = [];
  readonly states: string[] = [];
  closed = 0;

  constructor(transport: WebRTCTransport) {
    this.transport = transport;
    transport.onmessage = (message) => this.messages.push(message);
    transport.onerror = (error) => this.errors.push(error);
    transport.onpathchange = (path) => this.paths.push(path);
    transport.onstatechange = (state) => this.states.push(state);
    transport.onclose = () => this.closed++;
  }

  async number(from: number, to: number): Promise<void> {
    for (let n = from; n < to; n++) await this.transport.send({ jsonrpc: '2.0', method: 'n', params: { n } });
  }

  /** The numbers that have come. */
  get numbers(): number[] {
    return this.messages.map((message) => Number((message as { params?: { n?: number } }).params?.n));
  }
}

export interface PairOptions {
  client?: Partial<ConnectOptions>;
  server?: Partial<ConnectOptions>;
  relays?: [client: string, server: string];
  /** The claim `paths` of their tokens. */
  claims?: { client?: Path[]; server?: Path[] };
  /** Default: a room of their own. */
  room?: string;
}

let rooms = 0;

/** A client and a server in a room of their own, not started. */
export async function newPair(
  t: TestContext,
  relay: string,
  { client = {}, server = {}, relays, claims = {}, room = `relayed ${rooms++}` }: PairOptions = {},
) {
  const all: Path[] = ['direct', 'turn', 'relayed'];
  const [near = relay, far = relay] = relays ?? [];
  const token = (role: 'client' | 'server') => {
    const paths = claims[role];
    return testToken({ room, role, ...(paths && { paths }) });
  };
  const ends = {
    room,
    client: new End(
      new WebRTCClientTransport({
        relay: near,
        token: await token('client'),
        rtc: new BlockableEngine(true),
        paths: all,
        ...client,
      }),
    ),
    server: new End(
      new WebRTCServerTransport({
        relay: far,
        token: await token('server'),
        rtc: new BlockableEngine(true),
        paths: all,
        ...server,
      }),
    ),
  };
  t.after(() => Promise.all([ends.client.transport.close(), ends.server.transport.close()]));
  return ends;
}

/** The same, connected. */
export async function pairUp(t: TestContext, relay: string, options: PairOptions = {}) {
  const ends = await newPair(t, relay, options);
  await Promise.all([ends.server.transport.start(), ends.client.transport.start()]);
  return ends;
}

/** Waits until numbers from 0 on have come, each once and in order. */
export async function came(end: End, count: number): Promise<void> {
  await eventually(() => end.messages.length >= count, undefined, `${count} messages`);
  const expected = Array.from({ length: count }, (_, n) => n);
  if (end.numbers.join() !== expected.join()) throw new Error(`out of order: ${end.numbers.join(' ')}`);
}
