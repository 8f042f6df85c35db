#!/usr/bin/env node
// CommonJS, in syntax of Node 12, so that a Node which is too old runs it and says so.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  console.error(
    `mcp-rendezvous needs Node.js 22.18 or newer; this is ${process.versions.node}. Install a newer one from https://nodejs.org.`,
  );
  process.exit(1);
}
void import('../dist/cli/main.js');
