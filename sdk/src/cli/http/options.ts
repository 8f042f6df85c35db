import { validateHeaderName, validateHeaderValue } from 'node:http';
import { usage } from '../errors.ts';
import type { SharedCommand } from '../expose.ts';
import type { ExposeFlags } from '../program.ts';
import { loopbackHosts } from './guard.ts';
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
    throw usage('--url is instead of a command and of --discover: give one of them.');
  }
  if (url !== undefined) return { url: readUrl(url), headers: readHeaders(header, env) };
  if (header.length > 0) throw usage('--header is for --url.');
  if (command !== undefined) return { command, args, discover };
  throw usage('There is nothing to share: mcp-rendezvous expose [options] -- <command> [args...], or --url <url>');
}

const placeholder = /\$\{(\w+)\}/g;

/** The names of the variables that header values stand for. */
export const variablesIn = (values: readonly string[]): string[] =>
  values.flatMap((value) => [...value.matchAll(placeholder)].map(([, name]) => name!));

/**
 * The headers of `--header 'Name: value'`, names in lower case, with `${NAME}` replaced by the environment's variable: secrets
 * stay out of the arguments, which others can read.
 *
 * @throws CliError `bad_option`, without the value
 */
function readHeaders(lines: readonly string[], env: NodeJS.ProcessEnv): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(colon, 0)).trim().toLowerCase();
    const value = line
      .slice(colon + 1)
      .trim()
      .replaceAll(placeholder, (_, variable: string) => {
        const found = env[variable];
        if (found === undefined) throw usage(`--header: the variable ${variable} is not set.`);
        return found;
      });
    try {
      validateHeaderName(name);
      validateHeaderValue(name, value);
    } catch {
      throw usage("--header takes 'Name: value', as HTTP has it; ${NAME} in it stands for a variable.");
    }
    headers[name] = value;
  }
  return headers;
}

/** @throws CliError `bad_option` */
function readUrl(text: string): URL {
  const url = URL.parse(text);
  if (!url || !['http:', 'https:'].includes(url.protocol)) {
    throw usage(`--url takes the address of an MCP endpoint, such as http://localhost:3000/mcp.`);
  }
  if (url.username || url.password) throw usage('--url takes no user and password: pass a --header instead.');
  url.hash = '';
  return url;
}

/**
 * Where `--http` listens, a port or a host and a port, and the names under which it may be called.
 *
 * @throws CliError `bad_option`
 */
export function readAddress(
  text: string,
  names: readonly string[],
): { host: string; port: number; allowedHosts: string[] } {
  const [, given = '127.0.0.1', port] = /^(?:(.*):)?(\d{1,5})$/.exec(text) ?? [];
  if (port === undefined || Number(port) > 65_535) throw usage('--http takes an address such as 127.0.0.1:3333.');
  if (names.length === 0 && !loopbackHosts.includes(given)) {
    throw usage(
      '--http: others than this machine can reach that address, and whoever does can use the server. ' +
        'If that is meant, name the host that clients call: --allow-host <name>.',
    );
  }
  const called = names.map((name) => URL.parse(`http://${name}`)?.hostname ?? name);
  return { host: given.replace(/^\[|\]$/g, ''), port: Number(port), allowedHosts: [...loopbackHosts, ...called] };
}
