import type { AgentExtension, Message, Part, StreamResponse, Task } from '@a2a-js/sdk';
import * as z from 'zod/mini';
import { peerData, RendezvousError } from 'mcp-rendezvous-protocol';
import { type Sequenced, toData, toMessage } from '../signaling/signal-data.ts';
import type { SignalMessage } from '../signaling/signaling.ts';

/** The extension's name in an agent card, in messages and in `A2A-Extensions`: docs/a2a.md. */
export const extensionUri = 'urn:mcp-rendezvous:a2a:1';
/** The media type of a part with a signal: the peer data of PROTOCOL.md §6. */
export const signalMediaType = 'application/vnd.mcp-rendezvous.signal+json';
/** The media type of a part that invites into a room of a relay. */
export const invitationMediaType = 'application/vnd.mcp-rendezvous.invitation+json';

/** Whatever A2A hands over that may have parts in it. */
export type A2ASource = Message | Task | StreamResponse;

const invitation = z.object({
  /** The relay's address, such as `wss://relay.example`. */
  relay: z.url({ protocol: /^(wss?|https?)$/ }),
  /** A room token, for whoever is invited. It is a secret, and A2A servers keep messages: let it live for minutes. */
  token: z.string().check(z.minLength(1)),
});
/** A room of a relay and the token to join it with. */
export type A2AInvitation = z.infer<typeof invitation>;

/** For `capabilities.extensions` of the agent card of an agent that answers offers, or follows invitations. */
export const agentExtension = (): AgentExtension => ({
  uri: extensionUri,
  description: 'Uses the MCP server that a message offers, over WebRTC',
  required: false,
  params: undefined,
});

/** A part that invites the other side into a room. */
export const invitationPart = ({ relay, token }: A2AInvitation): Part =>
  dataPart(invitationMediaType, { relay, token });

/**
 * The first invitation in a message, if there is one. Its address comes from the other side: connect to relays that you trust only.
 */
export function readInvitation(source: A2ASource): A2AInvitation | undefined {
  for (const value of dataOf(source, invitationMediaType)) {
    const { data } = invitation.safeParse(value);
    if (data) return data;
  }
  return undefined;
}

export const signalPart = (message: SignalMessage): Part => dataPart(signalMediaType, toData(message));

/** The signals in a message; what has not their form is left out. */
export function readSignals(source: A2ASource): SignalMessage[] {
  return dataOf(source, signalMediaType)
    .map((value) => peerData.safeParse(value).data)
    .filter((data): data is Sequenced => data !== undefined && data.kind !== 'ack')
    .map(toMessage);
}

const dataPart = (mediaType: string, value: object): Part => ({
  content: { $case: 'data', value },
  mediaType,
  filename: '',
  metadata: undefined,
});

/** @throws RendezvousError `bad_signal` for what does not have the form of A2A's SDK */
function dataOf(source: A2ASource, type: string): unknown[] {
  try {
    return partsOf(source).flatMap(({ content, mediaType }) =>
      content?.$case === 'data' && mediaType === type ? [content.value as unknown] : [],
    );
  } catch (cause) {
    const message =
      "This is no A2A message, task or event as A2A's SDK has them. JSON has to go through its fromJSON().";
    throw new RendezvousError('bad_signal', message, { cause });
  }
}

function partsOf(source: A2ASource): Part[] {
  if ('parts' in source) return source.parts;
  if ('artifacts' in source) return partsOfTask(source);
  const { payload } = source;
  switch (payload?.$case) {
    case 'message':
      return payload.value.parts;
    case 'task':
      return partsOfTask(payload.value);
    case 'statusUpdate':
      return payload.value.status?.message?.parts ?? [];
    case 'artifactUpdate':
      return payload.value.artifact?.parts ?? [];
    case undefined:
      return [];
  }
}

/**
 * The history has the other side's messages, too; whose they are shows in their kind. Servers may leave it out (A2A, `historyLength`).
 */
const partsOfTask = ({ status, artifacts, history }: Partial<Task>): Part[] =>
  [...(history ?? []), ...(status?.message ? [status.message] : []), ...(artifacts ?? [])].flatMap(
    ({ parts }) => parts,
  );
