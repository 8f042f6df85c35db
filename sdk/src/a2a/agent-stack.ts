import type { AgentCard, AgentExtension } from '@a2a-js/sdk';
import * as z from 'zod/mini';
import { RendezvousError } from 'mcp-rendezvous-protocol';
import { type AgentParams, entryOf } from './extension.ts';
import { type A2AAttributes, type A2AInvitation, member } from './source.ts';

/**
 * The extension by which agents of AgentStack ask a client for MCP servers: demands in the card,
 * fulfillments in the metadata of a message.
 */
export const agentStackUri = 'https://a2a-extensions.agentstack.beeai.dev/services/mcp/v1';

/** The variable in which the command line takes an invitation, unseen by other processes. */
const variable = 'MCP_RENDEZVOUS_INVITATION';

const demands = z.record(z.string(), z.object({ allowed_transports: z.nullish(z.array(z.string())) }));

/** The entry of an agent whose demands are met by invitations, for its card. */
export const agentStackExtension = (needed: NonNullable<AgentParams['demands']>): AgentExtension => ({
  uri: agentStackUri,
  description: 'Needs MCP servers',
  required: false,
  params: {
    mcp_demands: Object.fromEntries(
      Object.entries(needed).map(([name, demand]) => [name, { ...demand, allowed_transports: ['stdio'] }]),
    ),
  },
});

/**
 * Attributes that fulfill an AgentStack agent's demands with invitations. To the agent each server
 * is a program that speaks stdio, `mcp-rendezvous connect`, which it has to have; so it need not
 * know the extension of this package.
 *
 * @param invitations by the name of the demand
 * @throws RendezvousError `bad_option` when the card has no such demand, or the demand does not
 *   allow `stdio`
 */
export function agentStackAttributes(card: AgentCard, invitations: Record<string, A2AInvitation>): A2AAttributes {
  const { data: known } = demands.safeParse(member(entryOf(card, agentStackUri)?.params, 'mcp_demands'));
  const fulfillments = Object.entries(invitations).map(([name, { invitation }]) => {
    // AgentStack's default is HTTP only, for which there is no address here.
    if (!known || !Object.hasOwn(known, name) || !known[name]?.allowed_transports?.includes('stdio')) {
      throw new RendezvousError(
        'bad_option',
        `The agent card has no demand ${JSON.stringify(name)} that allows stdio. Send an invitation only for one that does.`,
      );
    }
    const transport = {
      type: 'stdio',
      command: 'npx',
      args: ['-y', 'mcp-rendezvous', 'connect'],
      env: { [variable]: invitation },
    };
    return [name, { transport }] as const;
  });
  return {
    metadata: { [agentStackUri]: { mcp_fulfillments: Object.fromEntries(fulfillments) } },
    extensions: [agentStackUri],
  };
}

/** The invitation in a fulfillment of a demand. */
export function fulfilledBy(metadata: (uri: string) => unknown, demand: string): unknown {
  const fulfillment = member(member(metadata(agentStackUri), 'mcp_fulfillments'), demand);
  return member(member(member(fulfillment, 'transport'), 'env'), variable);
}
