import { createSocket, type Socket } from 'node:dgram';
import { networkInterfaces } from 'node:os';

/** RFC 6762 §3. */
const group = '224.0.0.251';
const port = 5353;
/** When a name is asked for, and when it is given up: intervals double (RFC 6762 §5.2). */
const askAtMs = [0, 1_000, 3_000];
const giveUpAtMs = 7_000;
/** Names that one peer can make this machine look up. A browser has one per address. */
const mostNames = 32;

/**
 * A browser hides its addresses behind such names (draft-ietf-mmusic-mdns-ice-candidates §3.1.1):
 * one label below local.
 */
export const isMdnsName = (host: string): boolean => /^[^.]{1,63}\.local$/i.test(host);

/**
 * Asks the local network for the addresses behind mDNS names. werift asks once, through a socket
 * whose errors nobody handles, and goes on waiting when its connection is closed.
 */
export class MdnsResolver {
  readonly #pending = new Map<string, Set<(address: string | undefined) => void>>();
  readonly #names = new Set<string>();
  #sockets: Socket[] | undefined;
  #closed = false;

  /**
   * The IPv4 address of a name; undefined if no answer arrives within 7 s, the resolver is closed,
   * or it has looked up 32 other names.
   */
  async resolve(name: string): Promise<string | undefined> {
    const asked = name.toLowerCase();
    if (this.#closed || (this.#names.size >= mostNames && !this.#names.has(asked))) return undefined;
    this.#names.add(asked);
    return await new Promise((resolve) => {
      const waiting = this.#pending.get(asked) ?? new Set();
      this.#pending.set(asked, waiting);
      const timers = askAtMs.map((ms) => setTimeout(() => this.#ask(asked), ms));
      timers.push(setTimeout(() => this.#settle(asked, undefined), giveUpAtMs));
      waiting.add((address) => {
        timers.forEach((timer) => clearTimeout(timer));
        resolve(address);
      });
    });
  }

  close(): void {
    this.#closed = true;
    for (const name of this.#pending.keys()) this.#settle(name, undefined);
    for (const socket of this.#sockets ?? []) socket.close();
    this.#sockets = undefined;
  }

  #settle(name: string, address: string | undefined): void {
    const waiting = this.#pending.get(name);
    this.#pending.delete(name);
    waiting?.forEach((settle) => settle(address));
  }

  #ask(name: string): void {
    this.#sockets ??= interfaceAddresses().map((address) => this.#open(address));
    // An interface without a multicast route reports an error; the others continue.
    for (const socket of this.#sockets) socket.send(question(name), port, group, () => {});
  }

  /** One socket for each interface: a question leaves through one only. */
  #open(address: string): Socket {
    const socket = createSocket({ type: 'udp4', reuseAddr: true });
    socket.on('error', () => {}); // no mDNS on this interface
    socket.on('message', (message) => {
      for (const answer of answers(message)) this.#settle(answer.name, answer.address);
    });
    socket.bind(port, () => {
      try {
        socket.addMembership(group, address);
        socket.setMulticastInterface(address);
      } catch {
        // no multicast on this interface
      }
    });
    return socket;
  }
}

const interfaceAddresses = (): string[] =>
  Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family }) => family === 'IPv4')
    .map(({ address }) => address);

const recordType = { a: 1 };
const classInternet = 1;

/** A query for one A record (RFC 1035 §4.1). */
function question(name: string): Buffer {
  const labels = name
    .split('.')
    .map((label) => Buffer.concat([Buffer.of(Buffer.byteLength(label)), Buffer.from(label)]));
  const header = Buffer.from([0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, ...labels, Buffer.of(0, 0, recordType.a, 0, classInternet)]);
}

/** The A records of a response; what does not parse ends the list. */
function* answers(message: Buffer): Generator<{ name: string; address: string }> {
  if (message.length < 12 || (message.readUInt8(2) & 0x80) === 0) return;
  let at = 12;
  for (let questions = message.readUInt16BE(4); questions > 0; questions--) {
    const name = readName(message, at);
    if (!name) return;
    at = name.end + 4;
  }
  for (let count = message.readUInt16BE(6); count > 0; count--) {
    const name = readName(message, at);
    if (!name || name.end + 10 > message.length) return;
    const start = name.end + 10;
    const length = message.readUInt16BE(name.end + 8);
    at = start + length;
    if (at > message.length) return;
    if (message.readUInt16BE(name.end) !== recordType.a || length !== 4) continue;
    yield { name: name.text.toLowerCase(), address: message.subarray(start, at).join('.') };
  }
}

/**
 * A domain name, which may go on elsewhere in the message (RFC 1035 §4.1.4), but only further
 * ahead.
 */
function readName(message: Buffer, start: number): { text: string; end: number } | undefined {
  const labels: string[] = [];
  let end: number | undefined;
  for (let at = start, limit = start; at < message.length;) {
    const length = message.readUInt8(at);
    if (length === 0) return { text: labels.join('.'), end: end ?? at + 1 };
    if (length >= 0xc0) {
      if (at + 2 > message.length) return undefined;
      end ??= at + 2;
      at = message.readUInt16BE(at) & 0x3fff;
      if (at >= limit) return undefined; // or it would never end
      limit = at;
    } else {
      labels.push(message.toString('latin1', at + 1, at + 1 + length));
      at += 1 + length;
    }
  }
  return undefined;
}
