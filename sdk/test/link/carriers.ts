import type { TestContext } from 'node:test';
import { type FramedLinkOptions, FramedLink } from '../../src/link/framed.ts';
import type { MessageMeta, RtcCarrier } from '../../src/link/link.ts';
import type { JsonRpcMessage } from '../../src/link/message.ts';
import type { RendezvousError } from 'mcp-rendezvous-protocol';
import type { Engine, RtcDataChannel, RtcPeerConnection } from '../../src/peer/engine.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import { connectPair, direct } from '../peer/pair.ts';

export interface Carriers {
  /** The offerer's. */
  near: RtcCarrier;
  far: RtcCarrier;
}

/** Both ends of a real data channel. On a busy machine an engine may need another try. */
export async function connectCarriers(t: TestContext, engine: Engine = weriftEngine, tries = 3): Promise<Carriers> {
  const offerer = engine.createPeerConnection(direct);
  const answerer = engine.createPeerConnection(direct);
  t.after(() => Promise.all([offerer.close(), answerer.close()]));
  const pair = await connectPair({ offerer, answerer }).catch((error) => {
    if (tries === 1) throw error;
  });
  if (!pair) return await connectCarriers(t, engine, tries - 1);
  const { near, far } = pair;
  return { near: carrier(engine, offerer, near), far: carrier(engine, answerer, far) };
}

const carrier = (engine: Engine, connection: RtcPeerConnection, channel: RtcDataChannel): RtcCarrier => ({
  engine,
  connection,
  channel,
  early: [],
  localSdp: connection.localDescription?.sdp ?? '',
  remoteSdp: connection.remoteDescription?.sdp ?? '',
});

/** A link that writes down what it is told. */
export class Recorder {
  readonly link: FramedLink;
  readonly messages: JsonRpcMessage[] = [];
  readonly metas: (MessageMeta | undefined)[] = [];
  readonly errors: RendezvousError[] = [];
  readonly losses: RendezvousError[] = [];
  lost = false;
  found = 0;
  /** One entry a call. */
  readonly closes: (RendezvousError | undefined)[] = [];

  constructor(options: Partial<FramedLinkOptions> & { offerer: boolean }) {
    this.link = new FramedLink({ maxMessageBytes: 10_485_760, context: new Uint8Array(), ...options });
    this.link.onmessage = (message, meta) => {
      this.messages.push(message);
      this.metas.push(meta);
    };
    this.link.onerror = (error) => this.errors.push(error);
    this.link.onlost = (reason) => {
      this.losses.push(reason);
      this.lost = true;
    };
    this.link.onfound = () => {
      this.lost = false;
      this.found += 1;
    };
    this.link.onclose = (error) => this.closes.push(error);
  }
}

export interface LinkPair {
  near: Recorder;
  far: Recorder;
}

/** Two links over a channel between them. */
export async function connectLinks(
  t: TestContext,
  nearOptions: Partial<FramedLinkOptions> = {},
  farOptions: Partial<FramedLinkOptions> = nearOptions,
  engine: Engine = weriftEngine,
): Promise<LinkPair & { carriers: Carriers }> {
  const near = new Recorder({ offerer: true, ...nearOptions });
  const far = new Recorder({ offerer: false, ...farOptions });
  t.after(() => [near, far].forEach(({ link }) => link.end()));
  const carriers = await connectCarriers(t, engine);
  await attachBoth({ near, far }, carriers);
  return { near, far, carriers };
}

export async function attachBoth({ near, far }: LinkPair, carriers: Carriers): Promise<void> {
  await Promise.all([near.link.attach(carriers.near), far.link.attach(carriers.far)]);
}

export const note = (n: number, body = ''): JsonRpcMessage => ({
  jsonrpc: '2.0',
  method: 'notifications/test',
  params: { n, body },
});

/** The numbers of what `note()` made. */
export const numbers = (messages: JsonRpcMessage[]): unknown[] =>
  messages.map((message) => ('params' in message ? message.params?.['n'] : undefined));

export const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
