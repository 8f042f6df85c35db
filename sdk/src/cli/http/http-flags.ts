import { validateHeaderName, validateHeaderValue } from 'node:http';
import { usage } from '../cli-error.ts';
import type { SharedCommand } from '../expose.ts';
import { readSecretFile } from '../connection-flags.ts';
import type { ConnectFlags, ExposeFlags } from '../program.ts';
import { variables } from '../variables.ts';
import { type Access, loopbackHosts } from './guard.ts';
import type { UpstreamOptions } from './upstream.ts';

type EndpointFlags = Pick<ConnectFlags, 'http' | 'allowHost' | 'allowOrigin' | 'httpTokenFile'>;

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

/** RFC 6750 §2.1, b64token. A token of fewer characters could be guessed. */
const bearerToken = /^[\w.~+/-]{16,}=*$/;

/**
 * Where `--http` listens, a port or a host and a port, and who may call there. Undefined without `--http`.
 *
 * @throws CliError `bad_option`, without the token
 */
export function readEndpoint(
  { http, allowHost = [], allowOrigin = [], httpTokenFile }: EndpointFlags,
  env: NodeJS.ProcessEnv,
): { host: string; port: number; access: Access } | undefined {
  if (http === undefined) {
    if (allowHost.length === 0 && allowOrigin.length === 0 && httpTokenFile === undefined) return undefined;
    throw usage('--allow-host, --allow-origin and --http-token-file are for --http.');
  }
  const [, given = '127.0.0.1', port] = /^(?:(.*):)?(\d{1,5})$/.exec(http) ?? [];
  if (port === undefined || Number(port) > 65_535) throw usage('--http takes an address such as 127.0.0.1:3333.');
  const token = readHttpToken(httpTokenFile, env[variables.httpToken]);
  const loopback = loopbackHosts.includes(given);
  if (!loopback && (token === undefined || allowHost.length === 0)) {
    throw usage(
      `--http: others than this machine can reach that address. It needs a bearer token (${variables.httpToken} or ` +
        '--http-token-file), and the host name that clients call (--allow-host <name>).',
    );
  }
  const hosts = allowHost.map((name) => URL.parse(`http://${name}`)?.hostname ?? name);
  const access = { loopback, hosts, origins: allowOrigin.map(readOrigin), token };
  return { host: given.replace(/^\[|\]$/g, ''), port: Number(port), access };
}

function readHttpToken(file: string | undefined, value: string | undefined): string | undefined {
  const token = file === undefined ? value?.trim() : readSecretFile('--http-token-file', file);
  if (token === undefined) return undefined;
  if (bearerToken.test(token)) return token;
  throw usage(
    "The endpoint's bearer token has to be at least 16 characters, letters, digits and -._~+/ only. " +
      'Make one with: openssl rand -base64 32',
  );
}

/** An origin in the form in which browsers send it (RFC 6454 §6.2); extensions have schemes of their own. */
function readOrigin(text: string): string {
  const url = URL.parse(text);
  const web = url && ['http:', 'https:'].includes(url.protocol);
  if (web && !url.username && !url.password && url.pathname === '/' && !url.search && !url.hash && !/[?#]/.test(text)) {
    return url.origin;
  }
  if (url && !web && /^[a-z][\w+.-]*:\/\/[\w.-]+(:\d+)?$/i.test(text)) return text.toLowerCase();
  throw usage('--allow-origin takes one whole origin, scheme, host and port, such as http://localhost:6274.');
}
