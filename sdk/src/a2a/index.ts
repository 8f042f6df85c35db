/** Signaling in the messages of A2A (https://a2a-protocol.org, version 1): docs/a2a.md. */
export {
  type A2AInvitation,
  type A2ASource,
  agentExtension,
  extensionUri,
  invitationMediaType,
  invitationPart,
  readInvitation,
  signalMediaType,
} from './parts.ts';
export { A2ASignaling, type Deliver } from './a2a-signaling.ts';
