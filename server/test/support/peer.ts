import { once } from 'node:events';
import {
  codeOf,
  connectPath,
  decodeRelayed,
  encodeRelayed,
  type FrameFromRelay,
  frameFromRelay,
  type FrameToRelay,
  subprotocol,
} from 'mcp-rendezvous-protocol';
import { createRoomToken, type RoomTokenOptions } from 'mcp-rendezvous-protocol/token';
import { WebSocket } from 'ws';
import { testSecret } from '../../../test/support/relay.ts';
import { closeOf, eventually, within } from '../../../test/support/wait.ts';

type Frame<T extends FrameFromRelay['type']> = Extract<FrameFromRelay, { type: T }>;

/** A room token for tests: valid for an hour, of the subject `<role>-1`, unless told otherwise. */
export const testToken = (
  options: Partial<RoomTokenOptions> & Pick<RoomTokenOptions, 'room' | 'role'>,
): Promise<string> => createRoomToken({ key: testSecret, subject: `${options.role}-1`, ttl: '1h', ...options });

/** A raw WebSocket peer that keeps what it is sent. */
export class RawPeer {
  readonly socket: WebSocket;
  /** Frames that no `next` has taken yet. Each was parsed with the protocol's own schema. */
  readonly frames: FrameFromRelay[] = [];
  /** Relayed data, with its sender. */
  readonly relayed: { peer: string; payload: Uint8Array }[] = [];
  /** The last `joined`. */
  joined!: Frame<'joined'>;
  readonly closed: Promise<{ number: number; reason: string; code: string | undefined }>;

  constructor(
    relay: string,
    options: { protocols?: string[]; headers?: Record<string, string>; localAddress?: string } = {},
  ) {
    this.socket = new WebSocket(relay.replace(/^http/, 'ws') + connectPath, options.protocols ?? [subprotocol], {
      headers: options.headers ?? {},
      ...(options.localAddress !== undefined && { localAddress: options.localAddress, family: 4 }),
    });
    this.socket.on('message', (data: Buffer, isBinary) => {
      if (isBinary) this.relayed.push(decodeRelayed(data)!);
      else this.frames.push(frameFromRelay.parse(JSON.parse(data.toString())));
    });
    // Whoever waits for it to open hears of an error, and everybody else of the close that follows.
    this.socket.on('error', () => {});
    this.closed = closeOf(this.socket).then(([number, reason]) => ({
      number: Number(number),
      reason: String(reason),
      code: codeOf(Number(number)),
    }));
  }

  /** Opens a socket that has not joined. */
  static async open(relay: string): Promise<RawPeer> {
    const peer = new RawPeer(relay);
    await within(once(peer.socket, 'open'), 'the socket opens');
    return peer;
  }

  /** Opens a socket and joins; `more` are further members of the `join` frame. */
  static async join(
    relay: string,
    token: string | Promise<string>,
    more: Omit<Extract<FrameToRelay, { type: 'join' }>, 'type' | 'token'> = {},
  ): Promise<RawPeer> {
    const peer = await RawPeer.open(relay);
    peer.send({ type: 'join', token: await token, ...more });
    peer.joined = await peer.next('joined');
    return peer;
  }

  get id(): string {
    return this.joined.peer;
  }

  send(frame: FrameToRelay | Record<string, unknown>): void {
    this.socket.send(JSON.stringify(frame));
  }

  /** Sends relayed data. */
  relay(to: string | RawPeer, payload: string | Uint8Array): void {
    this.socket.send(encodeRelayed(typeof to === 'string' ? to : to.id, Buffer.from(payload)));
  }

  /** Takes the relayed data that has come, and waits until there is so much. */
  async relayedTexts(count: number): Promise<string[]> {
    await eventually(() => this.relayed.length >= count, undefined, `${count} frames of relayed data`);
    return this.relayed.splice(0).map(({ payload }) => Buffer.from(payload).toString());
  }

  /** Signals another peer. */
  signal(to: string | RawPeer, data: unknown, id = '1'): void {
    this.send({ type: 'signal', id, to: typeof to === 'string' ? to : to.id, data });
  }

  /** Takes the first frame of this type that was not taken yet, or the next one to come. */
  async next<T extends FrameFromRelay['type']>(
    type: T,
    matches: (frame: Frame<T>) => boolean = () => true,
    deadlineMs?: number,
  ): Promise<Frame<T>> {
    const fits = (frame: FrameFromRelay): frame is Frame<T> => frame.type === type && matches(frame as Frame<T>);
    const found = (): boolean => this.frames.some(fits) || this.socket.readyState === WebSocket.CLOSED;
    await eventually(found, deadlineMs, `a frame ${type} ${String(matches)}`);
    const index = this.frames.findIndex(fits);
    if (index < 0)
      throw new Error(`the socket closed without a frame ${type}; there were: ${JSON.stringify(this.frames)}`);
    return this.frames.splice(index, 1)[0] as Frame<T>;
  }

  /** The next `peer` frame about this id with this state. */
  async sees(id: string | RawPeer, state: 'online' | 'away' | 'gone', deadlineMs?: number): Promise<Frame<'peer'>> {
    const wanted = typeof id === 'string' ? id : id.id;
    return await this.next('peer', (frame) => frame.id === wanted && frame.state === state, deadlineMs);
  }

  /**
   * The code that the relay closes the socket with; the `error` frame and the close reason have to
   * name the same one.
   */
  async refusal(): Promise<string | undefined> {
    const { reason, code } = await within(this.closed, 'the relay closes the socket');
    const error = this.frames.find((frame) => frame.type === 'error');
    if (error?.code !== code || reason !== code)
      throw new Error(`close ${code}, reason ${reason}, error ${error?.code}`);
    return code;
  }

  /** Cuts the connection without a close frame. */
  cut(): void {
    this.socket.terminate();
  }
}
