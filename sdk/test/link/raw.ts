import { eventually } from '../../../test/support/wait.ts';
import type { Hello } from 'mcp-rendezvous-protocol';
import { decode, encodeData, encodeHello, type Frame } from '../../src/link/frame.ts';
import type { Carrier } from '../../src/link/link.ts';
import { randomBase64Url } from '../../src/util/random.ts';

/** The other end of a channel, driven frame by frame, to send what this SDK never would. */
export class RawPeer {
  readonly frames: Frame[] = [];
  closed = false;
  readonly #carrier: Carrier;

  constructor(carrier: Carrier) {
    this.#carrier = carrier;
    carrier.channel.onmessage = ({ data }) => this.frames.push(decode(data as ArrayBuffer));
    carrier.channel.onclose = () => {
      this.closed = true;
    };
  }

  send(frame: Uint8Array<ArrayBuffer>): void {
    this.#carrier.channel.send(frame);
  }

  hello(members: Partial<Hello> = {}): void {
    this.send(encodeHello({ ...hello(), ...members }));
  }

  /** A DATA frame of this text, or bytes. */
  data(
    seq: number,
    part: string | Uint8Array,
    { ack = 0, end = true, meta = undefined as Uint8Array | undefined } = {},
  ) {
    this.send(encodeData({ seq, ack, end, meta, part: typeof part === 'string' ? encoder.encode(part) : part }));
  }

  /** The first frame of this type, there or to come. */
  async next<T extends Frame['type']>(type: T): Promise<Extract<Frame, { type: T }>> {
    const find = () => this.frames.findIndex((frame) => frame.type === type);
    await eventually(() => find() >= 0, undefined, `a ${type} frame`);
    return this.frames.splice(find(), 1)[0] as Extract<Frame, { type: T }>;
  }
}

/** The HELLO of an answerer whose session begins. */
export const hello = (): Hello => ({
  nonce: randomBase64Url(32),
  maxMessageBytes: 10_485_760,
  received: 0,
  auth: 'none',
});

const encoder = new TextEncoder();
