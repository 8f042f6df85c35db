import { optional } from '../optional.ts';

/**
 * What this adapter uses of node-datachannel, a binding of libdatachannel. Its `polyfill` export,
 * which has the interface of WebRTC, is left aside: it adds more mistakes than it takes away
 * (candidates begin with `a=`, a DataView is sent as nothing, TURN credentials end at their first
 * colon, what arrives before a handler is lost).
 */
export interface Binding {
  PeerConnection: new (name: string, configuration: NativeConfiguration) => NativeConnection;
}

export interface NativeConfiguration {
  iceServers: { hostname: string; port: number }[];
  /** Descriptions are made when they are asked for, and not as soon as there is a channel. */
  disableAutoNegotiation: boolean;
  maxMessageSize: number;
  /** The only address that it uses. @default all but loopback */
  bindAddress?: string;
}

export interface NativeConnection {
  close(): void;
  /** Whatever is wrong with it ends the process. */
  setLocalDescription(type: 'offer' | 'answer'): void;
  setRemoteDescription(sdp: string, type: 'offer' | 'answer'): void;
  localDescription(): { type: string; sdp: string } | null;
  addRemoteCandidate(candidate: string, mid: string): void;
  createDataChannel(label: string, options?: { protocol?: string; unordered?: boolean }): NativeChannel;
  state(): string;
  iceState(): string;
  signalingState(): string;
  gatheringState(): string;
  onLocalCandidate(callback: (candidate: string, mid: string) => void): void;
  onStateChange(callback: (state: string) => void): void;
  onIceStateChange(callback: (state: string) => void): void;
  onGatheringStateChange(callback: (state: string) => void): void;
  onDataChannel(callback: (channel: NativeChannel) => void): void;
  bytesSent(): number;
  bytesReceived(): number;
  /** Milliseconds; below 0 when not known. */
  rtt(): number;
  /** Of the certificate with which the other side made the DTLS handshake. */
  remoteFingerprint(): { algorithm: string; value: string };
  getSelectedCandidatePair(): { local: NativeCandidate; remote: NativeCandidate } | null;
  maxMessageSize(): number;
}

export interface NativeCandidate {
  address: string;
  port: number;
  type: string;
}

export interface NativeChannel {
  close(): void;
  getLabel(): string;
  sendMessage(text: string): boolean;
  sendMessageBinary(bytes: Buffer): boolean;
  isOpen(): boolean;
  bufferedAmount(): number;
  setBufferedAmountLowThreshold(bytes: number): void;
  onOpen(callback: () => void): void;
  onClosed(callback: () => void): void;
  onBufferedAmountLow(callback: () => void): void;
  onMessage(callback: (message: string | Buffer) => void): void;
}

export const loadNodeDatachannel = optional<Binding>(
  'node-datachannel',
  ({ PeerConnection }) => typeof PeerConnection === 'function',
);
