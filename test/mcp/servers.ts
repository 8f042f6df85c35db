import type { AuthInfo, JSONRPCMessage, McpServer, MessageExtraInfo } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import type { Transport } from './clients.ts';
import type { Witness } from './fixture.ts';
import { createServerV1 } from './server-v1.ts';
import { createServerV2 } from './server-v2.ts';

export type ServerKind = 'v1' | 'v2' | 'v2 serveStdio';

/** Connects a fixture server of that kind to a transport. */
export async function serve(kind: ServerKind, transport: Transport, witness: Witness): Promise<void> {
  switch (kind) {
    case 'v1':
      return await createServerV1(witness).connect(transport);
    case 'v2':
      return await createServerV2(witness).connect(transport);
    case 'v2 serveStdio':
      return serveBothEras(transport, witness);
  }
}

/**
 * serveStdio hands on what a message says, but not who the transport says it is from: that is
 * carried past it.
 */
function serveBothEras(transport: Transport, witness: Witness): void {
  let sender: AuthInfo | undefined;
  serveStdio(({ era }) => withAuthInfo(createServerV2(witness, era), () => sender), { transport });
  const receive = transport.onmessage;
  transport.onmessage = (message: JSONRPCMessage, extra?: MessageExtraInfo) => {
    sender = extra?.authInfo;
    receive?.(message, extra);
  };
}

function withAuthInfo(server: McpServer, authInfo: () => AuthInfo | undefined): McpServer {
  const connect = server.connect.bind(server);
  server.connect = async (channel) => {
    await connect(channel);
    const receive = channel.onmessage;
    channel.onmessage = (message, extra) => {
      const from = authInfo();
      receive?.(message, { ...extra, ...(from ? { authInfo: from } : {}) });
    };
  };
  return server;
}
