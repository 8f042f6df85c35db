import { launchCommand, shellLine } from '../launch-command.ts';

/** From so long before its end on, an invitation is warned of, in seconds. */
export const warnSeconds = 14 * 86_400;

export interface PrintedInvitation {
  invitation: string;
  name?: string | undefined;
  /** In seconds since the epoch. */
  expiresAt: number;
}

/** What `expose` prints for whoever shares its server: the string, and lines to paste. */
export function pasteLines({ invitation, name = 'shared', expiresAt }: PrintedInvitation, relay: string): string {
  const own = shellLine(launchCommand());
  return `Invitation to ${name}, until ${dateOf(expiresAt)}. Whoever has it can use the server: treat it as a password.

${invitation}

${onLoopback(relay) ? 'On this machine, because no other one reaches its relay' : 'On the other machine'}, one of these lines:

  ${own} connect ${invitation}
  ${own} install claude-desktop ${invitation}
  claude mcp add ${shellWord(name)} -e MCP_RENDEZVOUS_INVITATION=${invitation} -- ${own} connect`;
}

const onLoopback = (relay: string): boolean =>
  /^(?:localhost|127\.[\d.]+|\[::1\])$/.test(URL.parse(relay)?.hostname ?? '');

export function endsSoon(expiresAt: number, now = Date.now() / 1000): string | undefined {
  const left = expiresAt - now;
  if (left > warnSeconds) return undefined;
  if (left <= 0) return `the invitation ended on ${dateOf(expiresAt)}; start expose again for a new one`;
  const days = Math.ceil(left / 86_400);
  return `the invitation ends on ${dateOf(expiresAt)}, in ${days} day${days === 1 ? '' : 's'}: make a new one with mcp-rendezvous invite`;
}

const dateOf = (seconds: number): string => new Date(seconds * 1000).toISOString().slice(0, 10);

/** Safe in a shell, and as a name in a client's configuration. */
const shellWord = (name: string): string => name.replace(/[^\w.-]+/g, '-').replace(/^-+|-+$/g, '') || 'shared';

/** What people may call the shared server, from how it is started. */
export function nameOfServer(command: readonly string[] | undefined, url: string | undefined): string {
  if (url !== undefined) return (URL.parse(url)?.host ?? 'http').slice(0, 64);
  const [program = '', ...args] = command ?? [];
  const runs = /(?:^|[\\/])(?:npx|bunx|uvx|uv|pipx|node|deno|bun|python[\d.]*|docker)(?:\.\w+)?$/i.test(program);
  const shared = runs ? args.find((arg) => /[a-z]/i.test(arg) && !/^(?:-|run$|exec$|tool$)/.test(arg)) : undefined;
  const path = (shared ?? program).split(/[\\/]/);
  // The folder says more where every project calls the file so.
  const telling = path.findLast(
    (part) => !/^(?:(?:index|main|cli)(?:\.\w+)?|dist|build|src|lib|bin|\.{0,2})$/i.test(part),
  );
  const base = telling ?? path.at(-1) ?? '';
  // A version behind the name of a package, and the end of a file's name.
  const name = base.replace(/(?<=.)@.*$/, '').replace(/\.(?:[cm]?[jt]s|py|exe|cmd)$/i, '');
  return (
    Array.from(name.replace(/[^\p{L}\p{N} ._-]/gu, ''))
      .slice(0, 64)
      .join('') || 'shared'
  );
}
