import { usage } from '../cli-error.ts';
import type { SharedCommand } from '../expose.ts';
import { withVariables } from '../placeholders.ts';
import type { ExposeFlags } from '../program.ts';
import type { UpstreamOptions } from './upstream.ts';

/**
 * What `expose` is to share.
 *
 * @throws CliError `bad_option`
 */
export function readShared(
  [command, ...args]: readonly string[],
  { url, header = [], discover = false }: Pick<ExposeFlags, 'url' | 'header' | 'discover'>,
  env: NodeJS.ProcessEnv,
): SharedCommand | UpstreamOptions {
  if (url !== undefined && (command !== undefined || discover)) {
    throw usage('--url cannot be combined with a command or --discover. Use one of them.');
  }
  if (url !== undefined) return { url: readUrl(url), headers: readHeaders(header, env) };
  if (header.length > 0) throw usage('--header needs --url.');
  if (command !== undefined) return { command, args, discover };
  throw usage('No server to share. Use: mcp-rendezvous expose [options] -- <command> [args...], or --url <url>');
}

/**
 * The headers of `--header 'Name: value'`, names in lower case, with `${NAME}` replaced by the
 * environment's variable: secrets stay out of the arguments, which others can read.
 *
 * @throws CliError `bad_option`, without the value
 */
function readHeaders(lines: readonly string[], env: NodeJS.ProcessEnv): Record<string, string> {
  const headers: Record<string, string> = {};
  // Imported, it would load all of fetch with every `expose`.
  const { validateHeaderName, validateHeaderValue } = process.getBuiltinModule('node:http');
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(colon, 0)).trim().toLowerCase();
    const value = withVariables(line.slice(colon + 1).trim(), '--header', env);
    try {
      validateHeaderName(name);
      validateHeaderValue(name, value);
    } catch {
      throw usage("--header must be 'Name: value'; ${NAME} is replaced by an environment variable.");
    }
    headers[name] = value;
  }
  return headers;
}

function readUrl(text: string): URL {
  const url = URL.parse(text);
  if (!url || !['http:', 'https:'].includes(url.protocol)) {
    throw usage('--url must be the URL of an MCP endpoint, such as http://localhost:3000/mcp.');
  }
  if (url.username || url.password) throw usage('--url must not contain a user or password. Use --header instead.');
  url.hash = '';
  return url;
}
