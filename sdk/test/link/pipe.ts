import type { TestContext } from 'node:test';
import type { FramedLinkOptions } from '../../src/link/framed.ts';
import type { Engine, RtcDataChannel, RtcPeerConnection } from '../../src/peer/engine.ts';
import { encodeHello } from '../../src/link/frame.ts';
import type { RtcCarrier } from '../../src/link/link.ts';
import { Recorder } from './carriers.ts';
import { hello } from './raw.ts';

/**
 * One end of a channel whose other end is the test: what it puts in comes out at once. A real
 * engine is a thousand times slower and does not change what a link makes of a frame.
 */
export class PipeEnd {
  /** What the link sent and `reading` took. */
  readonly sent: Uint8Array[] = [];
  /** Of every frame that was taken, and of the end. */
  onevent: (() => void) | undefined;
  /** As an engine's: closing a pipe loses what is on its way. */
  flush: Engine['flush'];
  /** A peer that does not read leaves everything in the channel's buffer. */
  reading = true;
  readonly carrier: RtcCarrier;
  readonly #channel: PipeChannel;

  constructor() {
    const channel = new PipeChannel((data) => {
      if (this.reading) this.sent.push(data);
      else channel.bufferedAmount += data.length;
      this.onevent?.();
    });
    this.#channel = channel;
    const connection = {
      connectionState: 'connected',
      onconnectionstatechange: null,
      close: () => this.close(),
      // The members of a connection that a link has no use for.
    } as unknown as RtcPeerConnection;
    const fingerprint = Array(32).fill('00').join(':');
    const section = `m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=setup:active\r\na=fingerprint:sha-256 ${fingerprint}\r\n`;
    const sdp = `v=0\r\n${section}a=max-message-size:262144\r\n`;
    const flush: Engine['flush'] = async (opened) => await this.flush?.(opened);
    const engine = { name: 'pipe', flush } as Engine;
    this.carrier = { engine, connection, channel, early: [], localSdp: sdp, remoteSdp: sdp };
  }

  get open(): boolean {
    return this.#channel.readyState === 'open';
  }

  get bufferedAmount(): number {
    return this.#channel.bufferedAmount;
  }

  /** A message from the other side. Throws what the handler throws. */
  put(data: Uint8Array<ArrayBuffer> | string): void {
    this.#channel.onmessage?.({ data: typeof data === 'string' ? data : data.slice().buffer });
  }

  /** The other side has read what was in the buffer. */
  drain(): void {
    this.#channel.bufferedAmount = 0;
    this.#channel.onbufferedamountlow?.(undefined);
  }

  close(): void {
    this.#channel.close();
    this.onevent?.();
  }
}

/** A link whose other side is driven by hand over a pipe; the session stands. */
export async function linkToPipe(
  t: TestContext,
  options: Partial<FramedLinkOptions> = {},
): Promise<{ near: Recorder; pipe: PipeEnd }> {
  const near = new Recorder({ offerer: true, ...options });
  const pipe = new PipeEnd();
  t.after(() => {
    near.link.end();
    pipe.close();
  });
  const attached = near.link.attach(pipe.carrier);
  pipe.put(encodeHello(hello()));
  await attached;
  return { near, pipe };
}

/**
 * Two ends of one channel. What goes in comes out in order, some at a time and after as many turns
 * of the event loop as `random` (0 to 1) says. When one end closes the other one notices, and what
 * was on its way is lost.
 */
export function joinPipes(random: () => number): [PipeEnd, PipeEnd] {
  const ends = [new PipeEnd(), new PipeEnd()] as const;
  for (const [from, to] of [ends, ends.toReversed()] as [PipeEnd, PipeEnd][]) {
    let turning = false;
    const turn = () => {
      turning = false;
      if (random() < 0.5) {
        if (!from.open) to.close();
        for (let some = random() * 8; some > 0 && to.open && from.sent.length > 0; some--) {
          to.put(new Uint8Array(from.sent.shift()!));
        }
      }
      if (to.open && (from.sent.length > 0 || !from.open)) next();
    };
    const next = () => {
      if (!turning) setImmediate(turn);
      turning = true;
    };
    from.onevent = next;
    from.flush = async () => {
      while (from.sent.length > 0 && to.open) await new Promise((resolve) => setImmediate(resolve));
    };
  }
  return [...ends];
}

class PipeChannel implements RtcDataChannel {
  readonly label = 'mcp';
  readonly ordered = true;
  readonly maxRetransmits = null;
  readonly maxPacketLifeTime = null;
  readyState: RtcDataChannel['readyState'] = 'open';
  bufferedAmount = 0;
  bufferedAmountLowThreshold = 0;
  binaryType = 'arraybuffer';
  onopen: RtcDataChannel['onopen'] = null;
  onmessage: RtcDataChannel['onmessage'] = null;
  onclose: RtcDataChannel['onclose'] = null;
  onerror: RtcDataChannel['onerror'] = null;
  onbufferedamountlow: RtcDataChannel['onbufferedamountlow'] = null;
  readonly #take: (data: Uint8Array) => void;

  constructor(take: (data: Uint8Array) => void) {
    this.#take = take;
  }

  send(data: string | ArrayBufferView<ArrayBuffer>): void {
    if (this.readyState !== 'open') throw new DOMException('closed', 'InvalidStateError');
    if (typeof data === 'string') return this.#take(new TextEncoder().encode(data));
    if (!(data instanceof Uint8Array)) throw new TypeError('A link sends text, or frames.');
    this.#take(new Uint8Array(data));
  }

  close(): void {
    if (this.readyState === 'closed') return;
    this.readyState = 'closed';
    this.onclose?.(undefined);
  }
}
