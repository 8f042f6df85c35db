import type { DtlsInternals, HandshakeMessage } from './internals.ts';

/** RFC 5246 §7.4, RFC 6347 §4.3.2. */
export const handshakeType = {
  clientHello: 1,
  serverHello: 2,
  helloVerifyRequest: 3,
  certificate: 11,
  serverKeyExchange: 12,
  certificateRequest: 13,
  serverHelloDone: 14,
  certificateVerify: 15,
  clientKeyExchange: 16,
  finished: 20,
} as const;

/**
 * The messages that end a flight: seeing one again means that our answer to it was lost (RFC 6347
 * §4.2.4).
 */
const endsFlight: ReadonlySet<number> = new Set([
  handshakeType.clientHello,
  handshakeType.serverHelloDone,
  handshakeType.finished,
]);

/** A handshake has about ten messages, each side; what is further ahead is not one. */
const farthestAhead = 16;
/** A certificate message is about 500 bytes. */
const largestMessage = 16_384;

/**
 * What the other side says in a DTLS handshake, put together, in order, and each message once (RFC
 * 6347 §4.2.2–4.2.3).
 *
 * werift takes the messages in the order of arrival, uses the keys of the last key exchange it is
 * given and remembers the first: what it used need not be what was signed. And it mixes up
 * fragments of several messages. So it is given one message of each number, the first that was
 * complete, and a repeated one only when it is to answer again.
 */
export class Handshake {
  /** What the other side said, in order. */
  readonly received: HandshakeMessage[] = [];
  readonly #socket: DtlsInternals;
  readonly #handle: DtlsInternals['onHandleHandshakes'];
  readonly #ahead = new Map<number, Assembly>();

  /** Stands between the association and its messages from here on. */
  constructor(socket: DtlsInternals) {
    this.#socket = socket;
    this.#handle = socket.onHandleHandshakes.bind(socket);
    socket.handleFragmentHandshake = (fragments) => {
      for (const fragment of fragments) this.#take(fragment);
      return [];
    };
    // It would be called with the nothing that is returned above.
    socket.onHandleHandshakes = () => Promise.resolve();
  }

  #take(fragment: HandshakeMessage): void {
    const next = this.received.length;
    if (fragment.message_seq < next) return this.#repeat(fragment);
    if (this.received.at(-1)?.msg_type === handshakeType.finished) return;
    if (fragment.message_seq > next + farthestAhead || fragment.length > largestMessage) return;
    const assembly = this.#ahead.get(fragment.message_seq) ?? new Assembly(fragment);
    this.#ahead.set(fragment.message_seq, assembly);
    assembly.add(fragment);
    this.#advance();
  }

  #advance(): void {
    for (;;) {
      const seq = this.received.length;
      const message = this.#ahead.get(seq)?.complete();
      if (!message) return;
      this.#ahead.delete(seq);
      this.received.push(message);
      this.#deliver(message);
    }
  }

  #repeat(fragment: HandshakeMessage): void {
    const last = this.received.at(-1);
    if (!last || fragment.message_seq !== last.message_seq || !endsFlight.has(last.msg_type)) return;
    const end = fragment.fragment_offset + fragment.fragment_length;
    if (end !== last.length || !last.fragment.subarray(fragment.fragment_offset).equals(fragment.fragment)) return;
    this.#deliver(last);
  }

  #deliver(message: HandshakeMessage): void {
    this.#handle([message]).catch((error) => this.#socket.onError.execute(error));
  }
}

/** The fragments of one message, which may overlap and come in any order. */
class Assembly {
  readonly #first: HandshakeMessage;
  readonly #bytes: Buffer;
  readonly #present: Uint8Array;
  #missing: number;

  constructor(first: HandshakeMessage) {
    this.#first = first;
    this.#bytes = Buffer.alloc(first.length);
    this.#present = new Uint8Array(first.length);
    this.#missing = first.length;
  }

  add({ msg_type, length, fragment_offset, fragment }: HandshakeMessage): void {
    if (msg_type !== this.#first.msg_type || length !== this.#first.length) return;
    for (const [index, byte] of fragment.entries()) {
      const at = fragment_offset + index;
      if (at >= length || this.#present[at]) continue; // what came first stays
      this.#present[at] = 1;
      this.#bytes[at] = byte;
      this.#missing--;
    }
  }

  complete(): HandshakeMessage | undefined {
    if (this.#missing > 0) return undefined;
    // Of the same class as the fragments: werift serializes it.
    const message = Object.create(Object.getPrototypeOf(this.#first) as object) as HandshakeMessage;
    return Object.assign(message, {
      msg_type: this.#first.msg_type,
      length: this.#first.length,
      message_seq: this.#first.message_seq,
      fragment_offset: 0,
      fragment_length: this.#first.length,
      fragment: this.#bytes,
    });
  }
}

/**
 * Sends a client's first flight at once. werift waits 100 ms with it, for a server that may not be
 * listening yet; such a one gets it again then.
 */
export function connectAtOnce(socket: DtlsInternals): void {
  const { transport } = socket;
  if (!socket.connect) return;
  const { send } = transport;
  let hello: Buffer | undefined;
  transport.send = (packet) => {
    hello = packet;
    return send(packet);
  };
  const connected = socket.connect();
  transport.send = send;
  connected.catch(() => {}); // until werift calls connect() and takes it from there
  socket.connect = () => {
    if (socket.dtls.flight === firstFlight && hello) void send(hello);
    return connected;
  };
}

const firstFlight = 1;
