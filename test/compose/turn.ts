import { openWire, type Wire } from '../../sdk/src/cli/doctor/wire.ts';
import {
  type Attribute,
  attribute,
  longTermKey,
  method,
  request,
  type StunResponse,
} from '../../sdk/src/cli/doctor/stun.ts';
import type { IceServer } from 'mcp-rendezvous/protocol';

const createPermission = 0x008; // RFC 8656 §18.1
const peerAddress = 0x0012; // RFC 8656 §18.2, encoded like XOR-MAPPED-ADDRESS

/** Somebody with credentials for a TURN server on this machine. */
export class TurnUser {
  readonly #wire: Wire;
  readonly #server: IceServer;
  #signed: Attribute[] = [];
  #key: Buffer | undefined;

  private constructor(wire: Wire, server: IceServer) {
    this.#wire = wire;
    this.#server = server;
  }

  static async connect(server: IceServer, port = 3478): Promise<TurnUser> {
    return new TurnUser(await openWire('tcp', '127.0.0.1', port, AbortSignal.timeout(20_000)), server);
  }

  /** Asks for an allocation; resolves with the error code, or undefined for success. */
  async allocate(): Promise<number | undefined> {
    const overUdp: Attribute = [attribute.requestedTransport, Buffer.from([17, 0, 0, 0])];
    const { attributes } = await this.#ask(method.allocate, [overUdp]);
    const { username = '', credential = '' } = this.#server;
    const realm = attributes.get(attribute.realm)?.toString() ?? '';
    this.#signed = [
      [attribute.username, username],
      [attribute.realm, realm],
      [attribute.nonce, attributes.get(attribute.nonce) ?? ''],
    ];
    this.#key = longTermKey(username, realm, credential);
    return (await this.#ask(method.allocate, [overUdp])).error;
  }

  /** Asks to reach a peer; resolves with the error code, or undefined for success. */
  async permit(address: string): Promise<number | undefined> {
    const cookie = [0x21, 0x12, 0xa4, 0x42];
    const bytes = address.split('.').map((part, index) => Number(part) ^ (cookie[index] ?? 0));
    return (await this.#ask(createPermission, [[peerAddress, Buffer.from([0, 1, 0x21 ^ 0x12, 0x12, ...bytes])]])).error;
  }

  close(): void {
    this.#wire.close();
  }

  #ask(type: number, attributes: Attribute[]): Promise<StunResponse> {
    return this.#wire.ask(request(type, [...attributes, ...this.#signed], this.#key), AbortSignal.timeout(20_000));
  }
}
