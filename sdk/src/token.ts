/** Room tokens for a backend: what `mcp-rendezvous-protocol/token` has, under the SDK's name. */
export * from 'mcp-rendezvous-protocol/token';
