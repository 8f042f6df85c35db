import type { CandidateInit, IceServer } from 'mcp-rendezvous-protocol';

/**
 * Declared as a method, whose parameter TypeScript compares both ways, so that the DOM's handlers
 * fit.
 */
type Handler<E> = { handle(event: E): void }['handle'] | null;

/**
 * What this SDK uses of WebRTC (https://www.w3.org/TR/webrtc/), as structural types: the browsers'
 * objects fit them, and so do the wrapped ones of every engine. No engine's own type appears in the
 * public interface.
 */
export interface RtcDataChannel {
  readonly label: string;
  readonly ordered: boolean;
  readonly maxRetransmits: number | null;
  readonly maxPacketLifeTime: number | null;
  readonly readyState: 'connecting' | 'open' | 'closing' | 'closed';
  readonly bufferedAmount: number;
  bufferedAmountLowThreshold: number;
  binaryType: string;
  send(data: string | ArrayBufferView<ArrayBuffer>): void;
  close(): void;
  onopen: Handler<unknown>;
  onmessage: Handler<{ data: unknown }>;
  onclose: Handler<unknown>;
  onerror: Handler<unknown>;
  onbufferedamountlow: Handler<unknown>;
}

export interface RtcPeerConnection {
  readonly connectionState: 'new' | 'connecting' | 'connected' | 'disconnected' | 'failed' | 'closed';
  readonly iceConnectionState: string;
  readonly iceGatheringState: string;
  readonly localDescription: { type: string; sdp: string } | null;
  readonly remoteDescription: { type: string; sdp: string } | null;
  readonly sctp: {
    readonly maxMessageSize: number;
    /** `getRemoteCertificates`: in DER, that of the other side first. */
    readonly transport?: { getRemoteCertificates?(): ArrayBuffer[] };
  } | null;
  createDataChannel(label: string, options?: { ordered?: boolean; protocol?: string }): RtcDataChannel;
  /**
   * `iceRestart`: with a new user name and password for ICE (RFC 8445 §9), only where {@link
   * Engine.restartsIce}.
   */
  createOffer(options?: { iceRestart?: boolean }): Promise<{ type: string; sdp?: string | undefined }>;
  createAnswer(): Promise<{ type: string; sdp?: string | undefined }>;
  setLocalDescription(description: { type: 'offer' | 'answer'; sdp: string }): Promise<void>;
  setRemoteDescription(description: { type: 'offer' | 'answer'; sdp: string }): Promise<void>;
  addIceCandidate(candidate: CandidateInit): Promise<void>;
  /**
   * Other ICE servers, or fresh credentials for the same ones, from the next gathering on: before
   * an ICE restart.
   */
  setConfiguration?(configuration: RtcConfiguration): void;
  getStats(): Promise<{ forEach(callback: (report: RtcStats) => void): void }>;
  close(): void | Promise<void>;
  onicecandidate: Handler<{ candidate: (CandidateInit & { candidate: string }) | null }>;
  onicecandidateerror?: Handler<{ errorCode: number; errorText: string; url: string }>;
  onconnectionstatechange: Handler<unknown>;
  oniceconnectionstatechange: Handler<unknown>;
  onicegatheringstatechange: Handler<unknown>;
  ondatachannel: Handler<{ channel: RtcDataChannel }>;
}

export interface RtcStats {
  readonly id: string;
  readonly type: string;
  readonly [member: string]: unknown;
}

export interface RtcConfiguration {
  iceServers: IceServer[];
  /** `relay`: only through TURN. */
  iceTransportPolicy: 'all' | 'relay';
}

/**
 * A WebRTC implementation behind one seam. An adapter puts right what its engine gets wrong, each
 * defect named in a comment, so that nothing above it knows which engine it talks to.
 */
export interface Engine {
  readonly name: string;
  /**
   * Whether a connection can find another path by an ICE restart, in both roles. Where not,
   * recovery is a new connection.
   */
  readonly restartsIce: boolean;
  /**
   * `setConfiguration()` between createOffer() and setLocalDescription() still reaches the first
   * search for candidates. Default false.
   */
  readonly takesServersLate?: boolean;
  /**
   * Loads the engine that makes a connection through TURN in place of this one, which uses no TURN
   * server. Engines that use them leave it out.
   */
  readonly forTurn?: () => Promise<Engine>;
  /**
   * Called before `createPeerConnection()`, for what takes time, such as choosing among servers.
   *
   * @throws RendezvousError `bad_option`
   */
  prepare?(configuration: RtcConfiguration): Promise<void>;
  /** @throws RendezvousError `bad_option` when the engine cannot honour the configuration. */
  createPeerConnection(configuration: RtcConfiguration): RtcPeerConnection;
  /**
   * Resolves when the DTLS handshake is proven to come from the holder of the certificate that the
   * remote SDP names; rejects with RendezvousError `dtls_untrusted` otherwise, or when it cannot
   * tell. Called once a data channel is open and before any message is passed on. Engines that
   * check this themselves leave it out.
   */
  authenticate?(connection: RtcPeerConnection): Promise<void>;
  /**
   * Resolves when a channel that the other side has opened takes what it is given, or is closed.
   * Called before the first `send()`. Engines whose channels do so once their `readyState` is
   * `open` leave it out.
   */
  writable?(connection: RtcPeerConnection, channel: RtcDataChannel): Promise<void>;
  /**
   * Resolves when everything given to `send()` has been handed to the other side, so that `close()`
   * loses nothing. Engines whose `close()` delivers what was sent before leave it out.
   */
  flush?(channel: RtcDataChannel): Promise<void>;
}
