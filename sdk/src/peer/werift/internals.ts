import type { RTCDtlsTransport, RTCPeerConnection, RTCSctpTransport } from 'werift';

/**
 * What this adapter reads and replaces inside werift beyond its public types. It is why werift is pinned to one exact
 * version: a new version is taken in by comparing this file with its source. Each type names only what is used.
 */
export interface PeerInternals {
  createDtlsTransport(options?: object): RTCDtlsTransport;
  createSctpTransport(): RTCSctpTransport;
  gatherCandidates(): Promise<void>;
  readonly config: { iceServers: object[] };
  readonly secureManager: { updateIceServers(): void };
}

export type Address = readonly [host: string, port: number];

/** One local ICE socket: a UDP port, or an allocation on a TURN server. Either has one way in. */
export interface IceProtocol {
  datagramReceived?: Receive;
  handleStunMessage?: Receive;
  readonly localCandidate?: object;
  /** A UDP socket, but for TURN over TCP or TLS. */
  readonly transport?: {
    readonly socket?: { on(event: 'error', listener: () => void): unknown; setRecvBufferSize?(bytes: number): void };
  };
  /** Opens the UDP socket; TURN's is open before. */
  connectionMade?(...how: unknown[]): Promise<void>;
  sendData(data: Buffer, address: Address): Promise<void>;
  close(): Promise<void>;
}

export interface CandidatePair {
  readonly state: number;
  readonly remoteAddr: Address;
  readonly protocol: IceProtocol;
}

export type Receive = (data: Buffer, address: Address) => void;

export interface WeriftEvent<Args extends unknown[]> {
  execute(...args: Args): void;
  subscribe(listener: (...args: Args) => void): { unSubscribe(): void };
  allUnsubscribe(): void;
}

export interface IceInternals {
  readonly state: string;
  readonly checkList: readonly CandidatePair[];
  readonly localUsername: string;
  readonly localPassword: string;
  readonly userHistory: Readonly<Record<string, string>>;
  readonly localCandidates: readonly { readonly type: string }[];
  readonly protocols: IceProtocol[];
  readonly nominated?: CandidatePair;
  readonly options: {
    additionalHostAddresses?: string[];
    turnTransport?: 'udp' | 'tcp' | 'tls' | undefined;
    turnUsername?: string | undefined;
    turnPassword?: string | undefined;
  };
  stunServer?: Address | undefined;
  turnServer?: Address | undefined;
  /** Asks for a candidate of each address, and of the STUN and the TURN server. */
  getCandidatePromises(addresses: string[], timeout?: number): Promise<unknown>[];
  addRemoteCandidate(candidate: RemoteCandidate | undefined): Promise<void>;
  appendLocalCandidate(candidate: object): void;
  pairLocalProtocol(protocol: IceProtocol): void;
  ensureProtocol(protocol: IceProtocol): void;
  send: (data: Buffer) => Promise<void>;
  setState(state: string): void;
  checkComplete(pair: CandidatePair): void;
  checkIncoming(message: { getAttributeValue(name: string): unknown }, address: Address, protocol: IceProtocol): void;
}

/** `CandidatePairState.SUCCEEDED` of werift: our check was answered by someone who knows the ICE password. */
export const pairSucceeded = 3;

export interface RemoteCandidate {
  host: string;
  generation?: number | undefined;
}

/** A DTLS 1.2 association, client or server (RFC 6347). */
export interface DtlsInternals {
  readonly sessionType: 1 | 2;
  readonly connected: boolean;
  readonly cipher: CipherInternals;
  readonly dtls: {
    flight: number;
    recordSequenceNumber: number;
    readonly epoch: number;
    readonly handshakeCache: Readonly<Record<number, { readonly data: readonly HandshakeMessage[] }>>;
    readonly remoteExtendedMasterSecret: boolean;
  };
  readonly onConnect: WeriftEvent<[]>;
  readonly onClose: WeriftEvent<[]>;
  readonly onError: WeriftEvent<[error: Error]>;
  readonly transport: { send: (packet: Buffer) => Promise<void> };
  /** Of a client only. */
  connect?(): Promise<void>;
  onHandleHandshakes(messages: HandshakeMessage[]): Promise<void>;
  handleFragmentHandshake(fragments: HandshakeMessage[]): HandshakeMessage[];
}

/** `SessionType.CLIENT` of werift. */
export const dtlsClient = 1;

export interface CipherInternals {
  readonly cipherSuite: number;
  readonly localKeyPair?: { readonly curve: number; readonly privateKey: Buffer; readonly publicKey: Buffer };
  readonly masterSecret?: Buffer;
  decryptPacket(record: {
    recordLayerHeader: {
      contentType: number;
      protocolVersion: { major: number; minor: number };
      epoch: number;
      sequenceNumber: number;
      contentLen: number;
    };
    fragment: Buffer;
  }): Buffer;
}

/** A handshake message or a fragment of one, header first (RFC 6347 §4.2.2). */
export interface HandshakeMessage {
  readonly msg_type: number;
  readonly length: number;
  readonly message_seq: number;
  readonly fragment_offset: number;
  readonly fragment_length: number;
  readonly fragment: Buffer;
  serialize(): Buffer;
}

export interface SctpInternals {
  readonly onReceive: WeriftEvent<[streamId: number, ppId: number, data: Buffer]>;
  readonly stateChanged: { readonly closed: WeriftEvent<[]> };
  readonly state: string;
  readonly outboundQueue: readonly unknown[];
  readonly sentQueue: readonly unknown[];
  readonly isStopped: boolean;
  /** Bytes of user data in a packet. */
  readonly maxPayloadSize: number;
  /** Up to where there is no gap (RFC 9260 §6.2: the Cumulative TSN). */
  readonly lastReceivedTsn: number;
  readonly advertisedRwnd: number;
  sackNeeded: boolean;
  sackImmediate: boolean;
  /** Packets since the last acknowledgement. */
  sackPacketCount: number;
  readonly sackMisOrdered: ReadonlySet<number>;
  sackDuplicates: readonly number[];
  onSackReceived: () => Promise<void>;
  handleData(data: Buffer): Promise<void>;
  receiveDataChunk(chunk: SctpChunk): void;
  receiveSackChunk(chunk: SctpChunk): Promise<void>;
  sendChunk(chunk: Pick<SctpChunk, 'type' | 'bytes' | 'userData'>): Promise<void>;
  scheduleSack(): Promise<void>;
  sendSack(): Promise<void>;
}

export interface SctpChunk {
  readonly type: number;
  readonly flags: number;
  readonly bytes: Buffer;
  /** Of DATA. */
  readonly userData?: Buffer;
}

export interface SctpTransportInternals {
  readonly sctp: SctpInternals;
  readonly remoteMaxMessageSize: number;
  readonly dataChannelQueue: readonly unknown[];
  dataChannelFlush(): Promise<void>;
  datachannelReceive(streamId: number, ppId: number, data: Buffer): Promise<void>;
}

// Private members make TypeScript refuse a direct conversion: hence the way through `unknown`, here and nowhere else.
export const peerInternals = (connection: RTCPeerConnection): PeerInternals => connection as unknown as PeerInternals;
export const iceInternals = (transport: RTCDtlsTransport): IceInternals =>
  transport.iceTransport.connection as unknown as IceInternals;
export const sctpInternals = (transport: RTCSctpTransport): SctpTransportInternals =>
  transport as unknown as SctpTransportInternals;
export const dtlsInternals = (transport: RTCDtlsTransport): DtlsInternals | undefined => transport.dtls;
