/** Signaling in the messages of A2A (https://a2a-protocol.org, version 1): docs/guides/a2a.md. */
export { invitationAttributes, invitationMediaType, readInvitation, signalMediaType } from './attributes.ts';
export {
  agentExtension,
  type AgentParams,
  extensionAlias,
  extensionUri,
  readExtension,
  type ReadExtension,
  requestedUri,
} from './extension.ts';
export { agentStackAttributes, agentStackExtension, agentStackUri } from './agent-stack.ts';
export { A2ASignaling, type Deliver } from './a2a-signaling.ts';
export { type A2AAttributes, type A2AInvitation, type A2ASource } from './source.ts';
