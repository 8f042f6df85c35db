import { appsExtension } from '../apps/tool.ts';

/** What this client says of itself. */
export const clientInfo = { name: 'mcp-rendezvous-console', title: 'mcp-rendezvous console', version: '0.1.0' };

const common = { sampling: {}, elicitation: { form: {}, url: {} } };

/** The capabilities of this client in 2025-11-25. */
export const legacyCapabilities = {
  ...common,
  roots: { listChanged: true },
  extensions: appsExtension,
  tasks: {
    list: {},
    cancel: {},
    requests: { sampling: { createMessage: {} }, elicitation: { create: {} } },
  },
};

/** The capabilities of this client in 2026-07-28, which each request repeats. */
export const modernCapabilities = {
  ...common,
  roots: {},
  extensions: { 'io.modelcontextprotocol/tasks': {}, ...appsExtension },
};
