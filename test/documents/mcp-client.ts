import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import type { Machine } from '../support/machines.ts';
import type { CleanEnvironment } from './clean.ts';

/** What a reader configures in an MCP client. */
export interface Entry {
  command: string;
  args: string[];
  env?: Record<string, string>;
}

/** The servers of Claude Desktop on a machine. */
export const configured = ({ home }: Machine): Entry[] => {
  const text = readFileSync(join(home, '.config/Claude/claude_desktop_config.json'), 'utf8');
  return Object.values((JSON.parse(text) as { mcpServers: Record<string, Entry> }).mcpServers);
};

/** Uses a server over stdio, as a client on the machine does. Resolves with its tools' names. */
export async function toolsOf(
  clean: CleanEnvironment,
  machine: Machine,
  { command, args, env }: Entry,
): Promise<string[]> {
  const [program, ...rest] = machine.command(command, ...args);
  const transport = new StdioClientTransport({
    command: program,
    args: rest,
    cwd: machine.home,
    env: { ...(clean.env as Record<string, string>), HOME: machine.home, ...env },
    stderr: 'ignore',
  });
  const client = new Client({ name: 'reader', version: '1.0.0' });
  await client.connect(transport);
  try {
    return (await client.listTools()).tools.map(({ name }) => name);
  } finally {
    await client.close();
  }
}
