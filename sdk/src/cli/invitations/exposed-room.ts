import { jwtPayload } from 'mcp-rendezvous-protocol';
import { usage } from '../cli-error.ts';
import {
  type Connection,
  defaultSubject,
  readConnection,
  readIceServers,
  readSecret,
  relayUrl,
} from '../connection-flags.ts';
import { givenInvitation, invitedConnection, readInvitation } from '../find-connection.ts';
import type { Log } from '../log.ts';
import type { ExposeFlags } from '../program.ts';
import { sign, signingKey } from '../token-command.ts';
import { secretsOf } from '../../transport/invited.ts';
import { variables } from '../variables.ts';
import { lifeOf, roomOf, roomsFolder, thisAccount } from './account.ts';
import { InvitationHost } from './host.ts';
import type { Signing } from './make-invitation.ts';
import { RoomStore } from './room-store.ts';

export interface ExposedRoomOptions {
  flags: ExposeFlags;
  env: NodeJS.ProcessEnv;
  log: Log;
  name: string;
}

/** Made anew for every connection and whenever one ends. */
export const ownTokenTtl = '1h';

/**
 * The room that `expose` shares its server in, and whom it invites: by its own invitation, by its
 * token, or, with neither, by a key.
 *
 * @throws CliError `bad_option`
 */
export async function exposedRoom(
  options: ExposedRoomOptions,
): Promise<{ connection: Connection; host?: InvitationHost }> {
  const { flags, env } = options;
  const invitation = givenInvitation({ argument: flags.invitation, flags, env });
  if (invitation !== undefined) {
    refuse(flags, ['room', 'keyFile', 'issuer', 'audience'], 'cannot be combined with an invitation');
    return invitedRoom(options, invitation);
  }
  const hasToken = [flags.tokenFile, flags.tokenCommand, env[variables.token]?.trim()].some(Boolean);
  const hasKey = flags.keyFile !== undefined || Boolean(env[variables.key]);
  if (!hasToken && hasKey) return keyedRoom(options, flags.room);
  const flagsOfKey = ['room', 'keyFile', 'issuer', 'audience', 'inviteFor', 'printInvitation'] as const;
  refuse(
    flags,
    flagsOfKey,
    hasToken ? 'cannot be combined with a token' : 'needs a signing key (RELAY_SECRET, --key-file)',
  );
  return { connection: await readConnection(flags, env, 'server') };
}

/** The room of a server's invitation, which may let it invite. */
function invitedRoom(options: ExposedRoomOptions, text: string): { connection: Connection; host?: InvitationHost } {
  const { flags, env, log, name } = options;
  const connection = { ...invitedConnection(text, 'server'), ...readIceServers(flags, env) };
  const { invite, jti, iss } = jwtPayload(readInvitation(text).token) ?? {};
  if (typeof invite !== 'number') {
    log.info('this invitation does not let its holder invite: whoever made it makes those of the clients');
    return { connection };
  }
  const place = { relay: connection.relay, issuer: typeof iss === 'string' ? iss : '', room: connection.room };
  const seconds = Math.min(lifeOf('--invite-for', flags.inviteFor ?? defaultLife), invite);
  const store = new RoomStore(roomsFolder(thisAccount(env)), place);
  const print = prints(flags);
  return {
    connection,
    host: new InvitationHost({ store, signing: { inviter: String(jti) }, seconds, name, print, log }),
  };
}

/**
 * A room of this account's, whose tokens a key signs.
 *
 * @throws CliError `bad_option`
 */
export function keyedRoom(
  { flags, env, log, name }: ExposedRoomOptions,
  room: string | undefined,
): { connection: Connection; host: InvitationHost } {
  if (readSecret(flags, env).secret !== undefined) {
    throw usage(
      `With a signing key each invitation has a secret of its own: unset ${variables.secret} and leave out --secret-file.`,
    );
  }
  const relay = relayUrl(flags.relay ?? env[variables.relay]);
  const signing = readSigning(flags, env);
  const folder = roomsFolder(thisAccount(env));
  const place = { relay, issuer: flags.issuer ?? '', room: roomOf(room, folder) };
  const store = new RoomStore(folder, place);
  const subject = defaultSubject('server');
  const token = { ...signing, room: place.room, role: 'server', subject, ttl: ownTokenTtl } as const;
  const connection: Connection = {
    relay,
    token: () => sign(token, relay),
    renewed: true,
    // Another command may replace the root meanwhile.
    secret: (peer) => secretsOf(store.root)(peer),
    room: place.room,
    subject,
    ...readIceServers(flags, env),
  };
  const seconds = lifeOf('--invite-for', flags.inviteFor ?? defaultLife);
  return { connection, host: new InvitationHost({ store, signing, seconds, name, print: prints(flags), log }) };
}

export const defaultLife = '90d';

export function readSigning(
  { keyFile, issuer, audience }: Pick<ExposeFlags, 'keyFile' | 'issuer' | 'audience'>,
  env: NodeJS.ProcessEnv,
): Signing {
  return {
    key: signingKey(keyFile, env[variables.key]),
    ...(issuer === undefined ? {} : { issuer }),
    ...(audience === undefined ? {} : { audience }),
  };
}

/** A file, or a log that others read, must not have it by accident. */
export const prints = ({ printInvitation }: ExposeFlags): boolean => printInvitation ?? process.stderr.isTTY;

function refuse(flags: ExposeFlags, names: readonly (keyof ExposeFlags)[], why: string): void {
  const stray = [...names, 'roomPrefix' as const].find((name) => flags[name] !== undefined);
  if (stray === undefined) return;
  const flag = `--${stray.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  throw usage(stray === 'roomPrefix' ? '--room-prefix needs --config.' : `${flag} ${why}.`);
}
