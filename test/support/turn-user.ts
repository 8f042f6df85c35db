import { createHmac } from 'node:crypto';
import { openWire, type Wire } from '../../sdk/src/cli/doctor/turn-socket.ts';
import {
  type Attribute,
  attribute,
  longTermKey,
  method,
  request,
  type StunResponse,
  xorAddress,
} from '../../sdk/src/cli/doctor/stun.ts';
import type { IceServer } from 'mcp-rendezvous-protocol';

const createPermission = 0x008; // RFC 8656 §18.1
const sendIndication = 0x016;
const peerAddress = 0x0012; // RFC 8656 §18.2, encoded like XOR-MAPPED-ADDRESS
const data = 0x0013;
const requestedFamily = 0x0017;
const evenPort = 0x0018;
const staleNonce = 438;

interface AllocateOptions {
  /** @default 4 */
  family?: 4 | 6;
  /** Asks for an even port, and for the next one to be reserved. @default false */
  pair?: boolean;
}

/** Somebody with credentials for a TURN server on this machine. */
export class TurnUser {
  readonly #wire: Wire;
  readonly #server: IceServer;
  #signed: Attribute[] = [];
  #key: Buffer | undefined;
  /** What `allocate` got. */
  relayed = { address: '', port: 0 };

  private constructor(wire: Wire, server: IceServer) {
    this.#wire = wire;
    this.#server = server;
  }

  static async connect(server: IceServer, port = 3478, host = '127.0.0.1'): Promise<TurnUser> {
    return new TurnUser(await openWire('tcp', host, port, AbortSignal.timeout(30_000)), server);
  }

  /** Asks for an allocation; resolves with the error code, or undefined for success. */
  async allocate({ family = 4, pair = false }: AllocateOptions = {}): Promise<number | undefined> {
    const wanted: Attribute[] = [[attribute.requestedTransport, Buffer.from([17, 0, 0, 0])]];
    if (family === 6) wanted.push([requestedFamily, Buffer.from([2, 0, 0, 0])]);
    if (pair) wanted.push([evenPort, Buffer.from([0x80])]);
    let response = await this.#ask(request(method.allocate, wanted));
    do {
      this.#sign(response);
      response = await this.#ask(request(method.allocate, [...wanted, ...this.#signed], this.#key));
      // Its nonce may have ended since (RFC 8489 §9.2.5).
    } while (response.error === staleNonce);
    const port = response.attributes.get(attribute.relayedAddress)?.readUInt16BE(2) ?? 0;
    this.relayed = { address: xorAddress(response, attribute.relayedAddress) ?? '', port: port ^ 0x2112 };
    return response.error;
  }

  /** Asks to reach a peer; resolves with the error code, or undefined for success. */
  async permit(address: string): Promise<number | undefined> {
    const message = withPeer(createPermission, address, 0, this.#signed);
    return (await this.#ask(sign(message, this.#key ?? Buffer.of()))).error;
  }

  /** Sends a peer a datagram, which is dropped unless it was permitted. */
  send(address: string, port: number, text: string): void {
    this.#wire.socket?.write(withPeer(sendIndication, address, port, [[data, text]]));
  }

  close(): void {
    this.#wire.close();
  }

  /** Takes realm and nonce of a rejection. */
  #sign({ attributes }: StunResponse): void {
    const { username = '', credential = '' } = this.#server;
    const realm = attributes.get(attribute.realm)?.toString() ?? '';
    this.#signed = [
      [attribute.username, username],
      [attribute.realm, realm],
      [attribute.nonce, attributes.get(attribute.nonce) ?? ''],
    ];
    this.#key = longTermKey(username, realm, credential);
  }

  #ask(message: Buffer): Promise<StunResponse> {
    return this.#wire.ask(message, AbortSignal.timeout(30_000));
  }
}

/**
 * A message whose first attribute is a peer's address, which is masked with the transaction id that
 * the message has.
 */
function withPeer(type: number, address: string, port: number, more: Attribute[]): Buffer {
  const bytes = bytesOf(address);
  const message = request(type, [[peerAddress, Buffer.alloc(4 + bytes.length)], ...more]);
  const value = message.subarray(24);
  value[1] = bytes.length === 4 ? 1 : 2;
  value.writeUInt16BE(port ^ 0x2112, 2);
  for (const [index, byte] of bytes.entries()) value[4 + index] = byte ^ (message[4 + index] ?? 0);
  return message;
}

/** RFC 8489 §14.5 */
function sign(message: Buffer, key: Buffer): Buffer {
  message.writeUInt16BE(message.length - 20 + 24, 2);
  const integrity = createHmac('sha1', key).update(message).digest();
  return Buffer.concat([message, Buffer.from([0x00, 0x08, 0, integrity.length]), integrity]);
}

function bytesOf(address: string): number[] {
  if (!address.includes(':')) return address.split('.').map(Number);
  // A URL's form of it has no dots.
  const [head = '', tail = ''] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split('::');
  const [before, behind] = [head, tail].map((part) => part.split(':').filter(Boolean)) as [string[], string[]];
  const between = Array.from({ length: 8 - before.length - behind.length }, () => '0');
  const groups = [...before, ...between, ...behind].map((group) => Number.parseInt(group, 16));
  return groups.flatMap((group) => [group >> 8, group & 0xff]);
}
