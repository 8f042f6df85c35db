import { type RtcPeerConnectionConstructor, WebRTCClientTransport } from 'mcp-rendezvous';

// The assertions of this file are the type checker's: a page may pass what the DOM calls by these
// names, without a cast.
export const fits: RtcPeerConnectionConstructor = RTCPeerConnection;

export const transport = (iceServers: RTCIceServer[]): WebRTCClientTransport =>
  new WebRTCClientTransport({ relay: 'wss://relay.example', token: 'token', rtc: RTCPeerConnection, iceServers });
