import type { TestContext } from 'node:test';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import type { VersionChoice } from '../../../console/src/mcp/dialect.ts';
import type { Ask } from '../../../console/src/mcp/questions.ts';
import { McpSession } from '../../../console/src/mcp/session.ts';
import { type Message, Rpc } from '../../../console/src/rpc/rpc.ts';
import { Witness } from '../../mcp/fixture.ts';
import { createServerV1 } from '../../mcp/server-v1.ts';
import { eventually } from '../../support/wait.ts';
import { createModernServer } from './modern-server.ts';
import { channel, type End } from './wire.ts';

interface World {
  session: McpSession;
  /** Everything that went over the channel. */
  sent: { from: 'client' | 'server'; message: Message }[];
  end: End;
}

/** The console's client at one end of a channel. */
export function begin(t: TestContext, serve: (end: End) => void): World {
  const sent: World['sent'] = [];
  const { client, server } = channel((from, message) => sent.push({ from, message }));
  serve(server);
  t.after(() => server.close());
  return { session: new McpSession(new Rpc(client)), sent, end: server };
}

export const never = new AbortController().signal;
export const both = (end: End): void => void serveStdio(({ era }) => createModernServer(era), { transport: end });
export const modernOnly = (end: End): void =>
  void serveStdio(({ era }) => createModernServer(era), { transport: end, legacy: 'reject' });
export const legacyOnly = (end: End): void => void createServerV1(new Witness()).connect(end);

export async function open(
  t: TestContext,
  serve: (end: End) => void,
  choice: VersionChoice = 'automatic',
): Promise<World> {
  const world = begin(t, serve);
  await world.session.open(choice, never);
  return world;
}

/** A server that answers by hand what a client of 2026-07-28 needs. */
export function byHand(answer: (message: Message) => unknown): (end: End) => void {
  return (end) => {
    end.onmessage = (message) => {
      if (message.id === undefined) return;
      const discovered = { resultType: 'complete', supportedVersions: ['2026-07-28'], capabilities: {}, ttlMs: 0 };
      const result = message.method === 'server/discover' ? discovered : answer(message);
      if (result !== undefined) void end.send({ jsonrpc: '2.0', id: message.id, result });
    };
  };
}

export const version = ({ session }: World) => session.info.value?.protocolVersion;
export const methods = ({ sent }: World) =>
  sent.filter(({ from }) => from === 'client').map(({ message }) => message.method);
export const question = async (session: McpSession, n = 1): Promise<Ask> => {
  await eventually(() => session.asks.waiting === n, 30_000, 'a question');
  return session.asks.questions.value[0]!;
};
export const textOf = (result: unknown) => (result as { content: { text: string }[] }).content[0]?.text;
