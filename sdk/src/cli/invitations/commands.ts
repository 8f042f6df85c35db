import { type Command, Option } from 'commander';
import type { InviteFlags } from './invite-flags.ts';

/** What the commands about invitations do. */
export interface InvitationActions {
  invite: (flags: InviteFlags) => Promise<void>;
  listInvitations: (flags: { json?: boolean }) => Promise<void>;
  revokeInvitation: (id: string) => Promise<void>;
}

/** Adds `invite` and `invitations` to the command line. */
export function addInvitationCommands(program: Command, actions: InvitationActions): void {
  program
    .command('invite')
    .description('print an invitation to a room, made with the key of the relay or with a server invitation')
    .option('--room <room>', 'the room; by default the one that expose uses on this machine')
    .addOption(new Option('--role <role>', 'whom it is for').choices(['client', 'server']).default('client'))
    .option('--for <time>', 'how long it is valid: seconds, or a number with s, m, h or d', '90d')
    .option('--name <name>', 'what people call the server, 1 to 64 characters')
    .option('--relay <url>', 'URL of the relay; instead of MCP_RENDEZVOUS_RELAY')
    .option('--key-file <file>', 'file with a secret or a private key (PEM, JWK); instead of RELAY_SECRET')
    .option('--issuer <issuer>', 'required if the relay is configured with issuers')
    .option('--audience <audience>', 'required if the relay expects another audience than mcp-rendezvous')
    .option('--invitation-file <file>', "file with a server's invitation; instead of MCP_RENDEZVOUS_INVITATION")
    .addHelpText('after', inviteHelp)
    .action(actions.invite);

  const invitations = program
    .command('invitations')
    .description('list or revoke the invitations that this account made');
  invitations
    .command('list')
    .description('print them: ID, role, room, relay, name, and until when they are valid')
    .option('--json', 'print one JSON array')
    .addHelpText('after', listHelp)
    .action(actions.listInvitations);
  invitations
    .command('revoke')
    .description('revoke an invitation, and end its sessions')
    .argument('<jti>', 'the ID of the invitation')
    .addHelpText('after', revokeHelp)
    .action(actions.revokeInvitation);
}

const inviteHelp = `
An invitation has all that a peer needs: relay, room, token and its own end-to-end secret. Treat it as a password.

With the key (RELAY_SECRET or --key-file), you can invite a client or a server. Run this on the machine that runs expose for the room,
or that made its server invitation: only there are the secrets of the room, in the settings of your account. A server invitation
(--role server) is for a machine without the key. With it, expose can run there, and invite clients until it expires.

With a server invitation (--invitation-file or MCP_RENDEZVOUS_INVITATION), you can invite a client while expose runs with the same
server invitation from this account: that expose asks the relay for the client's token.

Examples:
  RELAY_SECRET=… mcp-rendezvous invite --relay wss://relay.example --room desk --role server > ./server.invitation
  MCP_RENDEZVOUS_INVITATION=mcpr1… mcp-rendezvous invite --name files --for 7d`;

const listHelp = `
If expose runs with a server invitation, the clients that it invited are in the list of the account that runs expose. When a client
connects, expose prints which invitation the client has.`;

const revokeHelp = `
The expose that shares the room from this account then rejects the invitation, and ends its sessions. If you set ADMIN_TOKEN, the relay
rejects it too. To revoke a server invitation you need ADMIN_TOKEN. This also revokes all clients that it invited. The room gets new
secrets, so clients that you invited with the key need new invitations.`;
