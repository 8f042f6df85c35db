import type { Engine, RtcDataChannel, RtcPeerConnection } from '../../src/peer/engine.ts';
import type { Carrier } from '../../src/link/link.ts';

/**
 * One end of a channel whose other end is the test: what it puts in comes out at once. A real engine is a thousand times slower and
 * takes no part in what a link makes of a frame, so that with it a hundred thousand hostile frames would take hours.
 */
export class PipeEnd {
  /** What the link sent and `reading` took. */
  readonly sent: Uint8Array[] = [];
  /** A peer that does not read leaves everything in the channel's buffer. */
  reading = true;
  readonly carrier: Carrier;
  readonly #channel: PipeChannel;

  constructor() {
    const channel = new PipeChannel((data) => {
      if (this.reading) this.sent.push(data);
      else channel.bufferedAmount += data.length;
    });
    this.#channel = channel;
    const connection = {
      connectionState: 'connected',
      onconnectionstatechange: null,
      close: () => channel.close(),
      // The members of a connection that a link has no use for.
    } as unknown as RtcPeerConnection;
    const sdp = `v=0\r\na=fingerprint:sha-256 00\r\na=max-message-size:262144\r\n`;
    const engine = { name: 'pipe' } as Engine;
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
  }
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
    if (!(data instanceof Uint8Array)) throw new TypeError('A link sends frames.');
    this.#take(new Uint8Array(data));
  }

  close(): void {
    if (this.readyState === 'closed') return;
    this.readyState = 'closed';
    this.onclose?.(undefined);
  }
}
