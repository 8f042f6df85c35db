import { type Actions, createProgram } from '../../sdk/src/cli/program.ts';
import type { Block } from './blocks.ts';

/** Splits a line of a shell as far as documents need it: quotes, comments, redirections. */
export function words(line: string): string[] {
  const found: string[] = [];
  for (const [word] of line.matchAll(/(?:[^\s"'#;&|<>]|"[^"]*"|'[^']*'|<[^>\s][^>]*>|(?<=\S)#)+|[#;&|<>)]/g)) {
    // What follows is not an argument.
    if (/^[#;&|<>]$/.test(word)) break;
    found.push(word.replaceAll(/^["']|["']$|(?<==)["']/g, ''));
  }
  return found;
}

/** The arguments of each mcp-rendezvous that a block starts or names. */
export function commandLines({ language, body }: Block): string[][] {
  if (language === 'sh' || language === 'powershell' || language === 'ini') {
    const text = body
      .replaceAll(/\\\n\s*/g, ' ')
      .replaceAll(/(?:\\bin\\mcp-rendezvous\.js|(?<=[\s=])\/\S*\/mcp-rendezvous(?= ))/g, ' mcp-rendezvous');
    const found = text.replaceAll(/^npm .*$/gm, '').matchAll(/(?:^|[\s(=])mcp-rendezvous( [^\n]*)$/gm);
    return Array.from(found, ([, rest = '']) => words(rest));
  }
  if (language === 'xml') {
    const strings = Array.from(body.matchAll(/<string>([^<]*)<\/string>/g), ([, text = '']) => text);
    const start = strings.findIndex((text) => text.endsWith('/mcp-rendezvous'));
    const end = strings.findIndex((text, index) => index > start && text.endsWith('.log'));
    return start < 0 ? [] : [strings.slice(start + 1, end < 0 ? undefined : end)];
  }
  if (language !== 'json') return [];
  const { mcpServers = {} } = JSON.parse(body) as { mcpServers?: Record<string, { command: string; args: string[] }> };
  return Object.values(mcpServers)
    .filter(({ command }) => command === 'mcp-rendezvous')
    .map(({ args }) => args);
}

const done = () => Promise.resolve();
const actions = new Proxy({}, { get: () => done }) as Actions;

/** Why the program does not take the arguments; undefined if it does. */
export async function problemOfCommand(line: string[]): Promise<string | undefined> {
  try {
    await createProgram(actions)
      .configureOutput({ writeOut: () => {}, writeErr: () => {} })
      .parseAsync(line, { from: 'user' });
    return undefined;
  } catch (error) {
    // Commander throws when it has printed the help or the version, too.
    if ((error as { exitCode?: number }).exitCode === 0) return undefined;
    return (error as Error).message;
  }
}
