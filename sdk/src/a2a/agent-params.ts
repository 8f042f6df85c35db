import * as z from 'zod/mini';

/**
 * The `params` of the extension in an agent card. What users see is `AgentParams`, so that no
 * version of zod is part of their declarations.
 */
export const agentParams = z.object({
  offers: z.boolean(),
  invitations: z.boolean(),
  relays: z.optional(z.array(z.string())),
  demands: z.optional(z.record(z.string(), z.object({ description: z.optional(z.string()) }))),
});
