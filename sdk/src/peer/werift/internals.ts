import type { RTCDtlsTransport, RTCPeerConnection, RTCSctpTransport, StunOverTurnProtocol, TurnProtocol } from 'werift';

/**
 * What this adapter reads and replaces inside werift beyond its public types. It is why werift is
 * pinned to one exact version: a new version is taken in by comparing this file with its source.
 * Each type names only what is used.
 */
export interface PeerInternals {
  createDtlsTransport(options?: object): RTCDtlsTransport;
  createSctpTransport(): RTCSctpTransport;
  gatherCandidates(): Promise<void>;
}

export type Address = readonly [host: string, port: number];

/** One local ICE socket: a UDP port, or an allocation on a TURN server. Either has one way in. */
export interface IceProtocol {
  datagramReceived?: Receive;
  handleStunMessage?: Receive;
  readonly localCandidate?: { readonly host: string; readonly port: number };
  /** Of an allocation on a TURN server. */
  readonly turn?: object;
  /** What came from the other side and is not STUN. */
  readonly onDataReceived: Pick<WeriftEvent<[Buffer]>, 'subscribe'>;
  readonly transport?: {
    readonly socket?: {
      on(event: 'error', listener: () => void): unknown;
      setRecvBufferSize?(bytes: number): void;
      getRecvBufferSize?(): number;
    };
  };
  /** Opens the UDP socket; TURN's is open before. */
  connectionMade?(...how: unknown[]): Promise<void>;
  sendData(data: Buffer, address: Address): Promise<void>;
  close(): Promise<void>;
}

export interface TurnInternals {
  readonly transactions: Readonly<Record<string, { integrityKey?: Buffer | undefined }>>;
  readonly refreshHandle?: { resolve?(): void };
  handleSTUNMessage(data: Buffer, address: Address): void;
}

export interface CandidatePair {
  readonly state: number;
  readonly remoteAddr: Address;
  readonly protocol: IceProtocol;
}

export interface StunMessage {
  getAttributeValue(name: string): unknown;
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
  readonly remoteUsername: string;
  readonly userHistory: Readonly<Record<string, string>>;
  readonly generation: number;
  readonly localCandidates: readonly { readonly type: string }[];
  readonly remoteCandidates: readonly { readonly type: string; readonly host: string; readonly port: number }[];
  readonly protocols: IceProtocol[];
  readonly nominated?: CandidatePair;
  readonly options: {
    additionalHostAddresses?: string[];
    /** The policy `relay`. */
    readonly forceTurn?: boolean;
    /** Whether a check of the other side is answered, and what it says is taken. */
    filterStunResponse?: (message: StunMessage) => boolean;
  };
  stunServer?: Address | undefined;
  /** Opens a socket on each address: its promise resolves with the local candidate or undefined. */
  getCandidatePromises(addresses: string[], timeout?: number): Promise<unknown>[];
  addRemoteCandidate(candidate: RemoteCandidate | undefined): Promise<void>;
  appendLocalCandidate(candidate: object): void;
  pairLocalProtocol(protocol: IceProtocol): void;
  ensureProtocol(protocol: IceProtocol): void;
  send: (data: Buffer) => Promise<void>;
  setState(state: string): void;
  checkComplete(pair: CandidatePair): void;
  checkIncoming(message: StunMessage, address: Address, protocol: IceProtocol): void;
}

/**
 * `CandidatePairState.SUCCEEDED` of werift: our check was answered by someone who knows the ICE
 * password.
 */
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
  readonly outboundQueue: SctpDataChunk[];
  readonly sentQueue: SctpDataChunk[];
  readonly flush: Pick<WeriftEvent<[]>, 'execute'>;
  readonly localTsn: number;
  /** No acknowledgement came in time (RFC 9260 §6.3.3). */
  timer3Expired: () => void;
  readonly timer3Handle?: object | undefined;
  timer3Start(): void;
  timer3Restart(): void;
  /** Where a part of the channels is not reliable (RFC 3758). */
  readonly forwardTsnChunk?: object | undefined;
  flightSize: number;
  cwnd: number;
  readonly ssthresh: number;
  readonly fastRecoveryExit?: number | undefined;
  /** A loss was found, and nothing was repeated since. */
  fastRecoveryTransmit: boolean;
  readonly peerAdvertisedRwnd: number;
  readonly isStopped: boolean;
  maxPayloadSize: number;
  /** Up to where there is no gap (RFC 9260 §6.2: the Cumulative TSN). */
  lastReceivedTsn: number;
  readonly advertisedRwnd: number;
  sackNeeded: boolean;
  sackImmediate: boolean;
  /** Packets since the last acknowledgement. */
  sackPacketCount: number;
  /** The TSNs behind a gap. */
  readonly sackMisOrdered: Set<number>;
  sackDuplicates: number[];
  onSackReceived: () => Promise<void>;
  send: (streamId: number, ppId: number, data: Buffer, how: object) => Promise<void>;
  readonly inboundStreams: Readonly<Record<number, SctpInboundStream>>;
  handleData(data: Buffer): Promise<void>;
  receiveChunk(chunk: SctpChunk): Promise<void>;
  getInboundStream(streamId: number): SctpInboundStream;
  receiveDataChunk(chunk: SctpReceivedDataChunk): void;
  receiveSackChunk(chunk: SctpSackChunk): Promise<void>;
  /** Notes what arrived; true for what had arrived before. */
  markReceived(tsn: number): boolean;
  sendChunk(chunk: Pick<SctpChunk, 'type' | 'bytes' | 'userData'>): Promise<void>;
  transmitOnce(): Promise<void>;
  scheduleSack(): Promise<void>;
  sendSack(): Promise<void>;
  /** Ends the association, and tells the other side (ABORT). */
  stop(): Promise<void>;
}

export interface SctpChunk {
  readonly type: number;
  readonly flags: number;
  readonly bytes: Buffer;
  readonly userData?: Buffer;
  readonly params?: readonly (readonly [type: number, value: Buffer])[];
}

export interface SctpReceivedDataChunk extends SctpChunk {
  readonly tsn: number;
}

/** What came of one stream and is not a whole message. */
export interface SctpInboundStream {
  readonly reassembly: readonly SctpChunk[];
  addChunk(chunk: SctpChunk): void;
  popMessages(): Iterable<unknown>;
}

/** DATA to be sent, or that was sent and is not acknowledged up to its TSN. */
export interface SctpDataChunk extends SctpChunk {
  readonly tsn: number;
  readonly bookSize: number;
  sentCount: number;
  /** In seconds since 1970. */
  sentTime?: number;
  /** It is behind a gap at the other side. */
  readonly acked: boolean;
  retransmit: boolean;
  /** How many acknowledgements since it was sent have said that it is missing. */
  misses: number;
}

export interface SctpSackChunk extends SctpChunk {
  readonly cumulativeTsn: number;
  readonly gaps: readonly (readonly [first: number, last: number])[];
}

export interface SctpTransportInternals {
  readonly sctp: SctpInternals;
  readonly remoteMaxMessageSize: number;
  readonly dataChannelQueue: readonly unknown[];
  dataChannelFlush(): Promise<void>;
  datachannelReceive(streamId: number, ppId: number, data: Buffer): Promise<void>;
}

// Private members make TypeScript refuse a direct conversion: hence the way through `unknown`, here
// and nowhere else.
export const peerInternals = (connection: RTCPeerConnection): PeerInternals => connection as unknown as PeerInternals;
export const iceInternals = (transport: RTCDtlsTransport): IceInternals =>
  transport.iceTransport.connection as unknown as IceInternals;
export const sctpInternals = (transport: RTCSctpTransport): SctpTransportInternals =>
  transport as unknown as SctpTransportInternals;
export const protocolInternals = (allocation: StunOverTurnProtocol): IceProtocol =>
  allocation as unknown as IceProtocol;
export const turnInternals = (allocation: TurnProtocol): TurnInternals => allocation as unknown as TurnInternals;
export const dtlsInternals = (transport: RTCDtlsTransport): DtlsInternals | undefined => transport.dtls;
