import type { AgentCard, AgentExtension } from '@a2a-js/sdk';
import * as z from 'zod/mini';
import { RendezvousError } from 'mcp-rendezvous-protocol';
import { agentParams } from './agent-params.ts';

/**
 * The extension's name in agent cards, in `A2A-Extensions` and in `metadata`: docs/guides/a2a.md.
 * Its domain is a placeholder, with which nothing is published.
 */
export const extensionUri = 'https://mcp-rendezvous.example/a2a/v1';
/** An earlier name of the extension. It is read wherever the URI is, and never written. */
export const extensionAlias = 'urn:mcp-rendezvous:a2a:1';

export const extensionUris: readonly string[] = [extensionUri, extensionAlias];

/** What an agent says about itself in its card, which is public. */
export interface AgentParams {
  /** Whether it answers WebRTC offers in messages. */
  offers: boolean;
  /** Whether it follows invitations in messages. */
  invitations: boolean;
  /**
   * URLs of the relays whose invitations it follows.
   *
   * @default not announced
   */
  relays?: string[] | undefined;
  /**
   * The MCP servers that it needs, by a name for each; `default` is the name of the only one.
   *
   * @default not announced
   */
  demands?: Record<string, { description?: string | undefined }> | undefined;
}

/**
 * The entry of an agent for `capabilities.extensions` of its card.
 *
 * @throws RendezvousError `bad_option` when a parameter is wrong, or has an invitation or a secret
 *   in it: everybody can read a card
 */
export function agentExtension(params: AgentParams): AgentExtension {
  const { data } = agentParams.safeParse(params);
  if (!data) throw new RendezvousError('bad_option', 'The parameters of the A2A extension do not have their form.');
  if (/mcp[rs]1[\w-]{40}/.test(JSON.stringify(data)) || data.relays?.some((relay) => !isPublic(relay))) {
    throw new RendezvousError(
      'bad_option',
      'An agent card is public. Name relays by ws: or wss: URLs without credentials, and send invitations in messages.',
    );
  }
  return {
    uri: extensionUri,
    description: 'Uses MCP servers of whoever sends it a message, over WebRTC',
    required: false,
    params: data,
  };
}

function isPublic(relay: string): boolean {
  const url = URL.parse(relay);
  return url !== null && /^wss?:$/.test(url.protocol) && !url.username && !url.password && !url.search && !url.hash;
}

const cardEntries = z.object({
  capabilities: z.object({ extensions: z.array(z.object({ uri: z.string(), params: z.nullish(z.unknown()) })) }),
});

/** An extension in a card, which A2A's client hands over as it has come: members may be missing. */
export const entryOf = (card: AgentCard, uri: string): { params?: unknown } | undefined =>
  cardEntries.safeParse(card).data?.capabilities.extensions.find((entry) => entry.uri === uri);

/** What the card of an agent says about the extension. */
export interface ReadExtension extends AgentParams {
  /** The URI by which the card lists it, and by which a client activates it. */
  uri: string;
}

/**
 * Reads an agent card.
 *
 * @returns `undefined` for an agent that does not have the extension, or lists it in another form;
 *   an entry without params means offers and invitations
 */
export function readExtension(card: AgentCard): ReadExtension | undefined {
  for (const uri of extensionUris) {
    const entry = entryOf(card, uri);
    const { data } = agentParams.safeParse(entry && (entry.params ?? { offers: true, invitations: true }));
    if (data) return { uri, ...data };
  }
  return undefined;
}

/**
 * The URI of the extension among those of a request (`context.requestedExtensions`), for
 * `context.addActivatedExtension()`: an answer repeats the name that the request has.
 */
export const requestedUri = (requested: readonly string[] | undefined): string | undefined =>
  requested?.find((uri) => extensionUris.includes(uri));
