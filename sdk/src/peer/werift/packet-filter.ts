import type { RTCDtlsTransport } from 'werift';
import { connectAtOnce, Handshake, handshakeType } from './dtls-handshake.ts';
import {
  type Address,
  dtlsInternals,
  type DtlsInternals,
  type IceProtocol,
  iceInternals,
  pairSucceeded,
  type Receive,
} from './internals.ts';
import { countUpwards } from './numbers.ts';
import { isAuthenticRequest, isRequest } from './stun-check.ts';

/** RFC 6347 §4.1, RFC 5246 §6.2.1. */
const contentType = { changeCipherSpec: 20, alert: 21, handshake: 22, applicationData: 23 } as const;
const recordHeaderLength = 13;

/**
 * A number after the last flight, so that pending retransmissions of earlier flights are skipped.
 */
const noFlight = 100;

/** Holds the 1 MiB of werift's window; a system may allow less (net.core.rmem_max). */
const receiveBufferBytes = 1_572_864;

/**
 * What is kept of DTLS that comes before we are ready for it: a first flight and the start of an
 * SCTP association.
 */
const mostEarly = 8;

/**
 * Filters every packet from the network into werift, for one transport. werift answers STUN
 * requests that nobody authenticated, takes DTLS records from any address, and believes what anyone
 * says in the clear: one packet with an alert ends a connection, one with a ClientHello starts its
 * handshake over. From here on it sees
 * - STUN requests with the right password (RFC 8445 §7.3), and responses, which it checks itself;
 * - DTLS from addresses that have shown by STUN that they know the password (RFC 7675 §5.1, RFC
 *   8842 §5.1);
 * - no DTLS record that an established association has no use for.
 */
export class PacketFilter {
  readonly #transport: RTCDtlsTransport;
  readonly #known = new Set<string>();
  readonly #early: (() => void)[] = [];
  #handshake: Handshake | undefined;
  #closed = false;

  constructor(transport: RTCDtlsTransport) {
    this.#transport = transport;
    const ice = iceInternals(transport);
    const ensureProtocol = ice.ensureProtocol.bind(ice);
    ice.ensureProtocol = (protocol) => {
      for (const entrance of ['datagramReceived', 'handleStunMessage'] as const) {
        const receive = protocol[entrance]?.bind(protocol);
        if (receive) protocol[entrance] = (data, address) => this.#receive(data, address, receive);
      }
      tolerateErrors(protocol);
      ensureProtocol(protocol);
    };
    transport.iceTransport.onStateChange.subscribe((state) => {
      if (state === 'connected') enlargeBuffers(transport);
    });
    transport.onStateChange.subscribe((state) => {
      // The association is made right behind this event, before any other packet can come in.
      if (state === 'connecting') queueMicrotask(() => this.#start());
    });
  }

  get handshake(): { socket: DtlsInternals; handshake: Handshake } | undefined {
    const socket = dtlsInternals(this.#transport);
    return socket && this.#handshake && { socket, handshake: this.#handshake };
  }

  /**
   * Ends what a handshake that is not over would go on with: werift repeats its flight for half a
   * minute.
   */
  close(): void {
    this.#closed = true;
    this.#early.length = 0;
    const socket = dtlsInternals(this.#transport);
    // A step of the handshake that is being computed would begin the next flight.
    if (socket) Object.defineProperty(socket.dtls, 'flight', { get: () => noFlight, set() {} });
  }

  #start(): void {
    const socket = dtlsInternals(this.#transport);
    if (!socket) return;
    this.#handshake = new Handshake(socket);
    countUpwards(socket);
    connectAtOnce(socket);
    socket.onConnect.subscribe(() => this.#letIn());
    this.#letIn();
    // A path found during close would start an unwanted handshake.
    if (this.#closed) this.close();
  }

  #hold(receive: () => void): void {
    if (this.#early.length < mostEarly) this.#early.push(receive);
  }

  #letIn(): void {
    for (const receive of this.#early.splice(0)) receive();
  }

  /** RFC 7983 §7 tells the protocols apart by their first byte. There is no media here. */
  #receive(data: Buffer, address: Address, receive: Receive): void {
    const first = data[0] ?? 255;
    if (first < 4) this.#receiveStun(data, address, receive);
    else if (first >= 20 && first < 64) this.#receiveDtls(data, address, receive);
  }

  #receiveStun(data: Buffer, address: Address, receive: Receive): void {
    if (isRequest(data)) {
      const { localUsername, localPassword, userHistory } = iceInternals(this.#transport);
      const password = (name: string) => (name === localUsername ? localPassword : userHistory[name]);
      if (!isAuthenticRequest(data, password)) return;
      this.#known.add(key(address));
    }
    receive(data, address);
  }

  #receiveDtls(data: Buffer, address: Address, receive: Receive): void {
    if (!this.#knows(address)) return;
    const socket = dtlsInternals(this.#transport);
    // The other side may be ready first; without its first packet it would wait for a
    // retransmission.
    if (!socket || !this.#handshake) return this.#hold(() => this.#receiveDtls(data, address, receive));
    const kept: Buffer[] = [];
    for (const record of records(data)) {
      switch (judge(record, socket)) {
        case 'take':
          kept.push(record);
          break;
        case 'hold':
          this.#hold(() => this.#receiveDtls(record, address, receive));
          break;
        case 'alert':
          receiveAlert(record, socket);
          break;
        case 'drop':
      }
    }
    if (kept.length > 0) receive(kept.length === 1 ? kept[0]! : Buffer.concat(kept), address);
  }

  #knows(address: Address): boolean {
    const name = key(address);
    if (this.#known.has(name)) return true;
    const { checkList } = iceInternals(this.#transport);
    const answered = checkList.some((pair) => pair.state === pairSucceeded && key(pair.remoteAddr) === name);
    if (answered) this.#known.add(name);
    return answered;
  }
}

/**
 * Bun tells a UDP socket that nobody listens at the other address any more, and werift does not
 * listen: it would end the process.
 */
function tolerateErrors(protocol: IceProtocol): void {
  const connect = protocol.connectionMade?.bind(protocol);
  if (!connect) return;
  protocol.connectionMade = async (...how) => {
    await connect(...how);
    protocol.transport?.socket?.on('error', () => {});
  };
}

/**
 * werift repeats the end of a lost burst after a second at the earliest, and the usual 208 KiB
 * overflow while this process is busy for a moment: 20 calls of 10 KB at once took more than a
 * second in every other session.
 */
function enlargeBuffers(transport: RTCDtlsTransport): void {
  for (const protocol of iceInternals(transport).protocols) {
    protocol.transport?.socket?.setRecvBufferSize?.(receiveBufferBytes);
  }
}

const key = ([host, port]: Address): string => `${host} ${port}`;

function* records(datagram: Buffer): Generator<Buffer> {
  let start = 0;
  while (datagram.length >= start + recordHeaderLength) {
    const end = start + recordHeaderLength + datagram.readUInt16BE(start + 11);
    if (end > datagram.length) return;
    yield datagram.subarray(start, end);
    start = end;
  }
}

function judge(record: Buffer, { connected }: DtlsInternals): 'take' | 'hold' | 'alert' | 'drop' {
  const encrypted = record.readUInt16BE(3) > 0;
  switch (record[0]) {
    case contentType.changeCipherSpec:
      return 'take';
    case contentType.handshake:
      // Finished is never in the clear (RFC 5246 §7.4.9). What is, and comes too late, is the
      // Handshake's to drop.
      return encrypted || record[recordHeaderLength] !== handshakeType.finished ? 'take' : 'drop';
    case contentType.applicationData:
      // Before Finished werift would take it, and open a channel on half a handshake (RFC 5246
      // §7.4.9).
      return encrypted ? (connected ? 'take' : 'hold') : 'drop';
    case contentType.alert:
      // werift looks at the ciphertext before it decrypts it, and takes what it reads there for the
      // alert.
      return encrypted ? 'alert' : 'drop';
    default:
      return 'drop'; // werift takes an unknown type for an alert
  }
}

/**
 * RFC 5246 §7.2: close_notify and every fatal alert end the connection. Only one that decrypts is
 * the other side's.
 */
function receiveAlert(record: Buffer, socket: DtlsInternals): void {
  let alert: Buffer;
  try {
    alert = socket.cipher.decryptPacket({
      recordLayerHeader: {
        contentType: contentType.alert,
        protocolVersion: { major: record.readUInt8(1), minor: record.readUInt8(2) },
        epoch: record.readUInt16BE(3),
        sequenceNumber: record.readUIntBE(5, 6),
        contentLen: record.readUInt16BE(11),
      },
      fragment: record.subarray(recordHeaderLength),
    });
  } catch {
    return; // RFC 6347 §4.1.2.7: what does not authenticate is dropped in silence
  }
  const [level, description] = alert;
  if (level === 2 || description === 0) socket.onClose.execute();
}
