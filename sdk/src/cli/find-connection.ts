import { type Invitation, parseInvitation, RendezvousError, type Role } from 'mcp-rendezvous-protocol';
import { secretsOf } from '../transport/invited.ts';
import { usage } from './cli-error.ts';
import {
  type Connection,
  type ConnectionFlags,
  readConnection,
  readIceServers,
  readSecretFile,
  relayUrl,
} from './connection-flags.ts';
import { variables } from './variables.ts';

export interface ConnectionSource {
  argument?: string | undefined;
  flags: ConnectionFlags;
  env: NodeJS.ProcessEnv;
}

/**
 * The invitation of an argument, a file or a variable, in this order; undefined if there is none.
 *
 * @throws CliError `bad_option`
 */
export function givenInvitation({ argument, flags, env }: ConnectionSource): string | undefined {
  const { invitationFile } = flags;
  if (argument !== undefined && invitationFile !== undefined) {
    throw usage('An invitation and --invitation-file cannot be combined. Use one of them.');
  }
  const named = argument ?? (invitationFile && readSecretFile('--invitation-file', invitationFile));
  const text = named ?? (env[variables.invitation]?.trim() || undefined);
  if (text === undefined) return undefined;
  const inside = { '--relay': flags.relay, '--token-file': flags.tokenFile, '--token-command': flags.tokenCommand };
  const all: Record<string, unknown> = { ...inside, '--secret-file': flags.secretFile, '--claims': flags.claims };
  for (const [flag, value] of Object.entries(all)) {
    if (value !== undefined) throw usage(`The invitation takes the place of ${flag}. Use one of them.`);
  }
  if (named === undefined && env[variables.token]?.trim()) {
    throw usage(`${variables.invitation} and ${variables.token} are both set. Set one of them.`);
  }
  return text;
}

/** Whether neither flags nor variables say what to connect to. */
export function isUnconfigured({ flags, env }: ConnectionSource): boolean {
  const configured = [flags.relay, flags.tokenFile, flags.tokenCommand, env[variables.relay], env[variables.token]];
  return !configured.some(Boolean);
}

/**
 * What an invitation has in it. Whether it still counts is not looked at.
 *
 * @throws CliError `bad_option`
 */
export function readInvitation(text: string, role?: Role): Invitation {
  try {
    const invitation = parseInvitation(text, { now: 0 });
    if (role === undefined || invitation.role === role) return invitation;
  } catch (error) {
    throw error instanceof RendezvousError ? usage(error.message) : error;
  }
  throw usage(
    `The invitation is for a ${role === 'server' ? 'client' : 'server'}: ` +
      `${role === 'server' ? 'use it with connect' : 'use it with expose'}, or ask for one with the role ${role}.`,
  );
}

/**
 * The connection of an invitation.
 *
 * @throws CliError `bad_option`
 */
export function invitedConnection(text: string, role: Role): Connection {
  const { relay, token, secret, room, subject } = readInvitation(text, role);
  return {
    relay: relayUrl(relay),
    token,
    secret: role === 'server' ? secretsOf(secret) : secret,
    invitation: text,
    room,
    subject,
  };
}

/**
 * The connection that an invitation, or flags and environment, describe.
 *
 * @param ask asks for an invitation where nothing is configured at all; undefined: there is nobody
 * @throws CliError `bad_option`
 */
export async function findConnection(
  source: ConnectionSource,
  role: Role,
  ask?: () => Promise<string>,
): Promise<Connection> {
  const { flags, env } = source;
  let text = givenInvitation(source);
  if (text === undefined && ask && isUnconfigured(source)) text = await ask();
  if (text === undefined) return await readConnection(flags, env, role);
  return { ...invitedConnection(text, role), ...readIceServers(flags, env) };
}
