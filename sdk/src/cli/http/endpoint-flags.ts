import { usage } from '../cli-error.ts';
import { readSecretFile } from '../connection-flags.ts';
import type { ConnectFlags } from '../program.ts';
import { variables } from '../variables.ts';
import { type Access, loopbackHosts } from './guard.ts';

type EndpointFlags = Pick<ConnectFlags, 'http' | 'allowHost' | 'allowOrigin' | 'httpTokenFile'>;

/** RFC 6750 §2.1, b64token. A token of fewer characters could be guessed. */
const bearerToken = /^[\w.~+/-]{16,}=*$/;

/**
 * Where `--http` listens, a port or a host and a port, and who may call there. Undefined without
 * `--http`.
 *
 * @throws CliError `bad_option`, without the token
 */
export function readEndpoint(
  { http, allowHost = [], allowOrigin = [], httpTokenFile }: EndpointFlags,
  env: NodeJS.ProcessEnv,
): { host: string; port: number; access: Access } | undefined {
  if (http === undefined) {
    if (allowHost.length === 0 && allowOrigin.length === 0 && httpTokenFile === undefined) return undefined;
    throw usage('--allow-host, --allow-origin and --http-token-file need --http.');
  }
  const [, given = '127.0.0.1', port] = /^(?:(.*):)?(\d{1,5})$/.exec(http) ?? [];
  if (port === undefined || Number(port) > 65_535) throw usage('--http must be an address such as 127.0.0.1:3333.');
  const token = readHttpToken(httpTokenFile, env[variables.httpToken]);
  const loopback = loopbackHosts.includes(given);
  if (!loopback && (token === undefined || allowHost.length === 0)) {
    throw usage(
      `--http: other machines can reach this address. Set a bearer token (${variables.httpToken} or ` +
        '--http-token-file) and the host name that clients use (--allow-host <name>).',
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
    'The bearer token of the endpoint must have at least 16 characters, only letters, digits and -._~+/. ' +
      'Create one with: openssl rand -base64 32',
  );
}

/**
 * An origin in the form in which browsers send it (RFC 6454 §6.2); extensions have schemes of their
 * own.
 */
function readOrigin(text: string): string {
  const url = URL.parse(text);
  const web = url && ['http:', 'https:'].includes(url.protocol);
  if (web && !url.username && !url.password && url.pathname === '/' && !url.search && !url.hash && !/[?#]/.test(text)) {
    return url.origin;
  }
  if (url && !web && /^[a-z][\w+.-]*:\/\/[\w.-]+(:\d+)?$/i.test(text)) return text.toLowerCase();
  throw usage('--allow-origin must be a complete origin such as http://localhost:6274.');
}
