export * from 'mcp-rendezvous';
