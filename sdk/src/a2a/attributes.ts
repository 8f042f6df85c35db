import { parseInvitation, peerData } from 'mcp-rendezvous-protocol';
import { type Described, toData, toMessage } from '../signaling/signal-data.ts';
import type { SignalMessage } from '../signaling/signaling.ts';
import { fulfilledBy } from './agent-stack.ts';
import { extensionUri, extensionUris } from './extension.ts';
import { type A2AAttributes, type A2AInvitation, type A2ASource, carriersOf, member } from './source.ts';

/** The media type of a data part with a signal, an earlier form that is read only. */
export const signalMediaType = 'application/vnd.mcp-rendezvous.signal+json';
/** The media type of a data part with an invitation, an earlier form that is read only. */
export const invitationMediaType = 'application/vnd.mcp-rendezvous.invitation+json';

const attributes = (value: object): A2AAttributes => ({
  metadata: { [extensionUri]: value },
  extensions: [extensionUri],
});

/**
 * Attributes that invite the other side to be a client, by the demand of its card that each
 * invitation meets: `{ default: await listener.invite({ once: true, ttl: 600 }) }`.
 */
export const invitationAttributes = (invitations: Record<string, A2AInvitation>): A2AAttributes =>
  attributes({
    invitations: Object.fromEntries(Object.entries(invitations).map(([name, { invitation }]) => [name, invitation])),
  });

/**
 * The first invitation for a client in a message that meets a demand, if there is one; also of a
 * fulfillment of AgentStack. Its address comes from the other side: `parseInvitation()` shows it,
 * and connect to relays that you trust only.
 */
export function readInvitation(source: A2ASource, demand = 'default'): A2AInvitation | undefined {
  for (const { metadata, data } of carriersOf(source)) {
    const found = [
      ...extensionUris.map((uri) => member(member(metadata(uri), 'invitations'), demand)),
      fulfilledBy(metadata, demand),
      ...(demand === 'default' ? data(invitationMediaType).map((value) => member(value, 'invitation')) : []),
    ];
    const invitation = found.find(isForClient);
    if (invitation !== undefined) return { invitation };
  }
  return undefined;
}

function isForClient(invitation: unknown): invitation is string {
  if (typeof invitation !== 'string') return false;
  try {
    // Whether it still counts is the relay's to say.
    return parseInvitation(invitation, { now: 0 }).role === 'client';
  } catch {
    return false;
  }
}

export const signalAttributes = (message: SignalMessage): A2AAttributes => attributes({ signal: toData(message) });

/** The signals in a message; what has not their form is left out. */
export const readSignals = (source: A2ASource): SignalMessage[] =>
  carriersOf(source)
    .flatMap(({ metadata, data }) => [
      ...extensionUris.map((uri) => member(metadata(uri), 'signal')),
      ...data(signalMediaType),
    ])
    .map((value) => peerData.safeParse(value).data)
    .filter((data): data is Described => data !== undefined && data.kind !== 'ack' && data.kind !== 'path')
    .map(toMessage);
