import { request } from 'mcp-rendezvous-protocol/http';
import { jwtPayload, type Role } from 'mcp-rendezvous-protocol';
import { usage } from '../cli-error.ts';
import { relayUrl } from '../connection-flags.ts';
import { givenInvitation, readInvitation } from '../find-connection.ts';
import { httpBase } from '../relay-time.ts';
import { variables } from '../variables.ts';
import { wait } from '../../util/abort.ts';
import { lifeOf, roomOf, roomsFolder, thisAccount } from './account.ts';
import { readSigning } from './exposed-room.ts';
import type { InviteFlags } from './invite-flags.ts';
import { makeInvitation } from './make-invitation.ts';
import { type Fulfilled, type MadeInvitation, RoomStore, type Wish } from './room-store.ts';

/** What prints a result, and what tells people about it. */
export interface Output {
  print: (text: string) => void;
  tell: (line: string) => void;
}

/** How long a running `expose` has to answer, and how often that is looked for, in milliseconds. */
const answerMs = 5000;
const lookEveryMs = 100;

/**
 * The command `invite`: prints an invitation, made with the key, or by the `expose` of this account
 * that runs with a server's invitation.
 *
 * @throws CliError `bad_option`
 */
export async function invite(flags: InviteFlags, env: NodeJS.ProcessEnv, { print, tell }: Output): Promise<void> {
  const seconds = lifeOf('--for', flags.for);
  const role = (flags.role ?? 'client') as Role;
  const folder = roomsFolder(thisAccount(env));
  const { name } = flags;
  const own = flags.keyFile === undefined ? givenInvitation({ flags, env }) : undefined;
  if (own !== undefined) {
    if (role === 'server') throw usage('A server invitation can invite clients only. For a server, use the key.');
    const fulfilled = await ofRunning(folder, own, { ttl: seconds, ...(name === undefined ? {} : { name }) });
    tell(
      `an invitation for a client, until ${timeOf(fulfilled.expiresAt)}, to be revoked with: mcp-rendezvous invitations revoke ${shellArgument(fulfilled.id)}`,
    );
    return print(fulfilled.invitation);
  }
  const signing = readSigning(flags, env);
  const relay = relayUrl(flags.relay ?? env[variables.relay]);
  const store = new RoomStore(folder, { relay, issuer: flags.issuer ?? '', room: roomOf(flags.room, folder) });
  const { invitation, made } = await makeInvitation(store, signing, {
    role,
    seconds,
    ...(name === undefined ? {} : { name }),
    warn: tell,
  });
  tell(
    `an invitation for a ${role} to room ${made.room}, until ${timeOf(made.expiresAt)}, to be revoked with: mcp-rendezvous invitations revoke ${made.id}`,
  );
  print(invitation);
}

/** @throws CliError `bad_option` */
async function ofRunning(folder: string, text: string, wish: Wish): Promise<Exclude<Fulfilled, { problem: string }>> {
  const { relay, room, token } = readInvitation(text, 'server');
  const { iss } = jwtPayload(token) ?? {};
  const place = { relay: relayUrl(relay), issuer: typeof iss === 'string' ? iss : '', room };
  const { answer, drop } = new RoomStore(folder, place).wish(wish);
  try {
    const limit = AbortSignal.timeout(answerMs);
    for (let fulfilled = answer(); !limit.aborted; fulfilled = answer()) {
      if (fulfilled && 'problem' in fulfilled) throw usage(`No invitation: ${fulfilled.problem}`);
      if (fulfilled) return fulfilled;
      await wait(lookEveryMs, limit).catch(() => {});
    }
  } finally {
    drop();
  }
  throw usage(
    'No expose of this account runs with that invitation, and only that may invite. Start it, and try again.',
  );
}

/** All invitations that this account made. */
const made = (env: NodeJS.ProcessEnv): { store: RoomStore; invitation: MadeInvitation }[] =>
  RoomStore.all(roomsFolder(thisAccount(env))).flatMap((store) =>
    store.invitations.map((invitation) => ({ store, invitation })),
  );

/** The command `invitations list`. */
export function listInvitations({ json }: { json?: boolean }, env: NodeJS.ProcessEnv, { print, tell }: Output): void {
  const all = made(env).map(({ invitation: { invitation: _, source: __, ...shown } }) => shown);
  if (json) return print(JSON.stringify(all));
  if (all.length === 0) return tell('this account has made no invitations');
  for (const { id, role, relay, room, name, expiresAt, revoked } of all) {
    const state = revoked ? 'revoked' : expiresAt * 1000 > Date.now() ? `until ${timeOf(expiresAt)}` : 'ended';
    print([id, role, room, relay, name ?? '-', state].join('\t'));
  }
}

/**
 * The command `invitations revoke`: whoever shares the room from this account refuses it from now
 * on and ends its sessions. With ADMIN_TOKEN the relay does, too, as a server's invitation needs.
 *
 * @throws CliError `bad_option`
 */
export async function revokeInvitation(id: string, env: NodeJS.ProcessEnv, { tell }: Output): Promise<void> {
  const found = made(env).find(({ invitation }) => invitation.id === id);
  if (!found) {
    throw usage(
      'This account has made no such invitation: see mcp-rendezvous invitations list. Revoke it on the machine that made it, ' +
        'which is the one whose expose printed it, or at the relay with POST /v1/revocations.',
    );
  }
  const { store, invitation } = found;
  const admin = env[variables.admin]?.trim();
  if (invitation.role === 'server' && !admin) {
    throw usage(`Only the relay can revoke a server's invitation: set ${variables.admin} to its ADMIN_TOKEN.`);
  }
  if (admin) await revokeAtRelay(invitation, admin);
  store.revoke(id);
  if (invitation.role === 'client') {
    const everywhere = admin ? ', and the relay refuses it everywhere' : '';
    return tell(
      `revoked: the expose that shares room ${invitation.room} from this account ends its sessions within a second${everywhere}`,
    );
  }
  // Who had it has the root, too.
  store.replaceRoot();
  tell(
    `revoked, and with it all whom it invited; room ${invitation.room} has a new root, so that its clients need new invitations`,
  );
}

async function revokeAtRelay({ id, relay, issuer }: MadeInvitation, admin: string): Promise<void> {
  const body = JSON.stringify({ jti: id, ...(issuer && { issuer }) });
  let status: number | undefined;
  try {
    const response = await request(new URL('v1/revocations', httpBase(relay)), {
      method: 'POST',
      headers: { authorization: `Bearer ${admin}`, 'content-type': 'application/json' },
      body,
      signal: AbortSignal.timeout(answerMs),
    });
    response.destroy();
    status = response.statusCode;
  } catch {
    // said below
  }
  if (status === 201) return;
  throw usage(
    `The relay did not revoke it (${status === undefined ? 'it does not answer' : `HTTP ${status}`}), so nothing has changed. Check ${variables.admin}.`,
  );
}

/** The name of an invitation is what a relay made up, and this is a line to paste into a shell. */
export const shellArgument = (text: string): string =>
  /^[\w.][\w.-]*$/.test(text) ? text : `-- '${text.replaceAll("'", `'\\''`)}'`;

const timeOf = (seconds: number): string => new Date(seconds * 1000).toISOString();
