/** The package in a browser. Node's entry adds what needs Node. */
export { type ErrorCode, type ErrorDetail, RendezvousAuthError, RendezvousError } from 'mcp-rendezvous-protocol';
export type { JsonRpcMessage } from './link/message.ts';
export type { Engine, RtcConfiguration, RtcDataChannel, RtcPeerConnection, RtcStats } from './peer/engine.ts';
export type { RtcPeerConnectionConstructor } from './peer/native.ts';
export type { TransportStats } from './peer/stats.ts';
export type { CandidateInit, ClaimMapping, IceServer, PeerClaims, PeerState, Role } from 'mcp-rendezvous-protocol';
export { createSecret } from 'mcp-rendezvous-protocol';
export { MemorySignaling } from './signaling/memory.ts';
export { RelayConnection, type RelayOptions, type RelayState, type RemotePeer } from './signaling/relay-connection.ts';
export type { WebSocketConstructor } from './signaling/web-socket.ts';
export type { RelayChannel } from './signaling/relay-channel.ts';
export type { TokenSource } from './signaling/fetch-token.ts';
export type { Signaling, SignalingRole, SignalMessage } from './signaling/signaling.ts';
export { WebRTCClientTransport } from './transport/client.ts';
export {
  type ConnectionHandler,
  type InviteOptions,
  listen,
  type Listener,
  type ListenOptions,
  type MadeInvitation,
} from './transport/listen.ts';
export { WebRTCServerTransport } from './transport/server.ts';
export type { WebRTCTransport } from './transport/transport.ts';
export type {
  Path,
  AuthInfo,
  ConnectOptions,
  DiagnosticEvent,
  DiagnosticHandler,
  InvitedOptions,
  MessageExtra,
  SecretSource,
  SendOptions,
  SignalingOptions,
  PlainOptions,
  TransportOptions,
  TransportPeer,
  TransportState,
} from './transport/types.ts';
