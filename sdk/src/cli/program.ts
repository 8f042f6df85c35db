import { Argument, Command, Option } from 'commander';
import { type CallFlags, callsHelp, ruling } from './calls/call-flags.ts';
import { type ConnectionFlags, defaultSubject } from './connection-flags.ts';
import { type ClientName, clientNames } from './install/clients.ts';
import { addInvitationCommands, type InvitationActions } from './invitations/commands.ts';
import type { InstallFlags } from './install/install-command.ts';
import type { TokenFlags } from './token-command.ts';
import { variables } from './variables.ts';
import { packageVersion } from './version.ts';

export interface ExposeFlags extends ConnectionFlags, CallFlags {
  discover?: boolean;
  url?: string;
  header?: string[];
  config?: string;
  roomPrefix?: string;
  keyFile?: string;
  issuer?: string;
  audience?: string;
  /** A server's, from the command line. */
  invitation?: string;
  room?: string;
  inviteFor?: string;
  printInvitation?: boolean;
  maxSessions: string;
  health?: string;
}
export interface DoctorFlags extends ConnectionFlags {
  json?: boolean;
  join?: boolean;
  peer?: boolean;
}
export interface ConnectFlags extends ConnectionFlags {
  http?: string;
  allowHost?: string[];
  allowOrigin?: string[];
  httpTokenFile?: string;
  timeout: string;
  wait: string;
  remember?: boolean;
}

/** What the commands do. */
export interface Actions extends InvitationActions {
  expose: (command: string[], flags: ExposeFlags) => Promise<void>;
  connect: (invitation: string | undefined, flags: ConnectFlags) => Promise<void>;
  token: (flags: TokenFlags) => Promise<void>;
  secret: () => Promise<void>;
  doctor: (invitation: string | undefined, flags: DoctorFlags) => Promise<void>;
  install: (client: ClientName, invitation: string | undefined, flags: InstallFlags) => Promise<void>;
  uninstall: (client: ClientName, flags: InstallFlags) => Promise<void>;
  demo: () => Promise<void>;
}

/**
 * The command line as a user sees it: commands, options, help. It throws commander's CommanderError
 * instead of exiting.
 */
export function createProgram(actions: Actions): Command {
  const program = new Command('mcp-rendezvous')
    .description('Connects MCP clients and servers that cannot reach each other, over WebRTC.')
    .version(packageVersion())
    .exitOverride()
    .allowExcessArguments(false)
    // main.ts prints the CommanderError in one line.
    .configureOutput({ outputError: () => {} })
    .enablePositionalOptions()
    .addHelpText('after', overview);

  ruling(connecting(program.command('expose')))
    .description('share an MCP server with clients that have an invitation or a token; each client has its own session')
    .usage(
      '[invitation] [options] -- <command> [args...]\n       mcp-rendezvous expose [invitation] [options] --url <url>\n       mcp-rendezvous expose [options] --config <file>',
    )
    .argument('[command...]', 'the command that starts the server; it runs without a shell')
    .option('--discover', 'forward server/discover (MCP 2026-07-28) to the server instead of declining it')
    .option('--url <url>', 'share a Streamable HTTP endpoint, such as http://localhost:3000/mcp, instead of a command')
    .option(
      '--header <header>',
      "a header for --url, 'Name: value'; ${NAME} is replaced by an environment variable",
      collect,
    )
    .option('--config <file>', 'share all mcpServers of a configuration file, each in its own room')
    .option('--room-prefix <text>', 'with --config: prefix of the room names')
    .option('--key-file <file>', 'file with the secret or private key (PEM, JWK) for tokens; instead of RELAY_SECRET')
    .option('--issuer <issuer>', 'with a key: issuer of the tokens')
    .option('--audience <audience>', 'with a key: audience of the tokens')
    .option(
      '--room <room>',
      "with a key: the room; by default this machine's name with a random suffix, which stays the same",
    )
    .option(
      '--invite-for <time>',
      'how long the invitation is valid: seconds, or a number with s, m, h or d (default: "90d")',
    )
    .option('--print-invitation', 'print the invitation even if the output is not a terminal')
    // main.ts puts the argument here: what follows a positional argument is the shared command's.
    .addOption(new Option('--invitation <text>').hideHelp())
    .option('--max-sessions <n>', 'maximum number of concurrent sessions, in all rooms together', '64')
    .option(
      '--health <address>',
      'serve GET /healthz on this address, such as 127.0.0.1:9000: 200 while clients can connect',
    )
    .passThroughOptions()
    .addHelpText('after', exposeHelp)
    .action(actions.expose);

  connecting(program.command('connect'))
    .argument('[invitation]', 'the invitation, only for a first try: other users of this machine can read arguments')
    .description('use a shared MCP server, over stdio (for Claude Desktop, Cursor, the Inspector, …) or HTTP')
    .option(
      '--http <address>',
      'serve Streamable HTTP at /mcp on this address, such as 127.0.0.1:3333; port 0 picks a free port',
    )
    .option('--allow-host <name>', 'accept this host name for --http, in addition to localhost', collect)
    .option(
      '--allow-origin <origin>',
      'allow pages of this origin to call --http, such as http://localhost:6274; none by default',
      collect,
    )
    .option(
      '--http-token-file <file>',
      `file with the bearer token that --http requires; instead of ${variables.httpToken}`,
    )
    .option('--timeout <seconds>', 'how long to connect, and how long the first request waits for the server', '30')
    .option('--wait <seconds>', 'how long later requests wait for a server that is away', '20')
    .option('--remember', 'keep what the server offers, such as its tools, and answer from that while it is away')
    .addHelpText('after', connectHelp)
    .action(actions.connect);

  program
    .command('token')
    .description('create a room token with the key of the relay, and print it')
    .requiredOption('--room <room>', 'the room: peers with tokens for the same room can connect to each other')
    .addOption(
      new Option('--role <role>', 'server (for expose) or client (for connect)')
        .choices(['server', 'client'])
        .makeOptionMandatory(),
    )
    .option(
      '--subject <subject>',
      `identity of the peer; by default its role and this machine: ${defaultSubject('<role>')}`,
    )
    .option('--ttl <time>', 'lifetime of the token: seconds, or a number with s, m, h or d', '1d')
    .option('--invite <time>', 'for a server: it may invite clients, each for this time at most')
    .option('--scope <scopes>', 'space-separated scopes for authInfo in the MCP server')
    .option('--issuer <issuer>', 'required if the relay is configured with issuers')
    .option('--audience <audience>', 'required if the relay expects another audience than mcp-rendezvous')
    .option('--jti <id>', 'ID by which the token can be revoked; random by default')
    .option('--json', 'print a JSON object with the token and its claims')
    .option('--relay <url>', 'take the time from the clock of this relay; instead of MCP_RENDEZVOUS_RELAY')
    .option('--ca-file <file>', caFileHelp)
    .option('--key-file <file>', 'file with a secret or a private key (PEM, JWK); instead of RELAY_SECRET')
    .addHelpText('after', tokenHelp)
    .action(actions.token);

  program
    .command('secret')
    .description('create an end-to-end secret, and print it')
    .addHelpText('after', secretHelp)
    .action(actions.secret);

  program
    .command('doctor')
    .description('find out why a connection fails: relay, token, STUN, TURN, path to the other peer')
    .argument('[invitation]', 'replaces relay, token and secret; by default the invitation that install saved')
    .option('--relay <url>', relayHelp)
    .option('--token-file <file>', 'file with the room token; instead of MCP_RENDEZVOUS_TOKEN')
    .option('--token-command <command>', tokenCommandHelp)
    .option('--invitation-file <file>', invitationFileHelp)
    .option('--secret-file <file>', secretFileHelp)
    .option('--ice-server <url>', iceServerHelp, collect)
    .option('--claims <json>', claimsHelp)
    .option('--ca-file <file>', caFileHelp)
    .option('--join', 'join the room even with a server token; this takes the place of a server that runs with it')
    .option('--peer', 'wait for the other peer and connect to it; by default a client connects if its server is online')
    .option('--no-peer', 'do not connect to the other peer')
    .option('--json', 'print the result as one JSON object')
    .option('--debug', 'print IP addresses')
    .addHelpText('after', doctorHelp)
    .action(actions.doctor);

  addInvitationCommands(program, actions);

  const client = (meaning: string) => new Argument('<client>', meaning).choices(clientNames);
  program
    .command('install')
    .description('add the server of an invitation to an MCP client on this machine')
    .addArgument(client('where to add it'))
    .argument('[invitation]', 'install asks for it if it is missing; other users of this machine can read arguments')
    .option('--name <name>', "name of the server in the client; by default the invitation's name for it")
    .option('--invitation-file <file>', `file with the invitation; or ${variables.invitation}`)
    .option('--print', 'print the entry instead of writing it')
    .addHelpText('after', installHelp)
    .action(actions.install);
  program
    .command('uninstall')
    .description('remove a server that install added from an MCP client')
    .addArgument(client('where to remove it'))
    .option('--name <name>', 'which server, if there are several')
    .action(actions.uninstall);

  program
    .command('demo')
    .description('run relay, server and client in one process, and show what crosses the relay')
    .action(() => actions.demo());

  return program;
}

function connecting(command: Command): Command {
  return command
    .option('--relay <url>', relayHelp)
    .option(
      '--token-file <file>',
      'file with the room token, read again for each connection; instead of MCP_RENDEZVOUS_TOKEN',
    )
    .option('--token-command <command>', tokenCommandHelp)
    .option('--invitation-file <file>', invitationFileHelp)
    .option('--secret-file <file>', secretFileHelp)
    .option('--ice-server <url>', iceServerHelp, collect)
    .option('--claims <json>', claimsHelp)
    .option('--ca-file <file>', caFileHelp)
    .option('--debug', 'print more on stderr, but never tokens or MCP messages')
    .option('--silent', 'print only errors on stderr')
    .option('--json', 'print one JSON object per line on stderr, with the members time, level, event and message');
}

const collect = (value: string, before: string[] = []) => [...before, value];

const overview = `
Example:
  Where the MCP server is:  RELAY_SECRET=… mcp-rendezvous expose --relay wss://relay.example -- npx -y @modelcontextprotocol/server-everything
  Where the client is:      mcp-rendezvous install claude-desktop, which asks for the invitation that expose printed

Each command has its own help: mcp-rendezvous expose --help`;

const relayHelp = 'URL of the relay, such as wss://relay.example; instead of MCP_RENDEZVOUS_RELAY';

const tokenCommandHelp = 'shell command that prints the room token; it runs for each connection and when a token ends';

const invitationFileHelp = `file with the invitation, which replaces relay, token and secret; instead of ${variables.invitation}`;

const iceServerHelp =
  "a STUN or TURN server instead of the relay's, such as stun:host or turn:host:3478?transport=tcp; repeat it for each server, " +
  'and set the TURN credentials in MCP_RENDEZVOUS_TURN_USERNAME and MCP_RENDEZVOUS_TURN_PASSWORD';

const secretFileHelp = 'file with the end-to-end secret, the same on both sides; instead of MCP_RENDEZVOUS_SECRET';

const claimsHelp =
  "for tokens of an identity provider: which claims have room, role and sub, like `claims` in the relay's RELAY_ISSUERS_FILE";

const caFileHelp = 'PEM file with certificate authorities to trust, in addition to those of Node.js';

const proxyHelp = `
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY   HTTP proxies, and hosts that are reached directly, as loopback always is`;

const connectionHelp = (role: string) => `
Environment:
  MCP_RENDEZVOUS_INVITATION  invitation; with it, relay, token and secret are not needed
  MCP_RENDEZVOUS_RELAY   URL of the relay
  MCP_RENDEZVOUS_TOKEN   room token with role "${role}"; not an option, because other users can read a program's arguments
  MCP_RENDEZVOUS_SECRET  end-to-end secret, if both sides use one; create it with: mcp-rendezvous secret${proxyHelp}`;

const exitHelp = (failed: string) => `
Exit codes:
  0      normal end
  1      ${failed}; the last line on stderr says why
  2      an option or a variable is wrong, or the token is missing, expired or not a JWT; nothing was tried
  128+n  stopped by signal n (Ctrl-C: 130)`;

const exposeHelp = `
With the key of the relay (RELAY_SECRET or --key-file), expose needs no token: it makes its own. It prints an invitation, which is all that
the other machine needs. The invitation is still valid after a restart, because expose keeps the secrets of the room in the settings of
your account. To list and revoke invitations, use \`mcp-rendezvous invitations\`.

Whoever has the key can be any peer in any room. For the machine of another person, make a server invitation where the key is
(mcp-rendezvous invite --role server). With it, expose runs and invites clients without the key.

Sharing a command: expose starts one server process at once and keeps one waiting, so a wrong command fails immediately and clients
do not wait for a download. The stderr of each server is printed here as [server 1] …. Servers inherit this environment, except
MCP_RENDEZVOUS_*, the secrets of a relay (RELAY_SECRET, ADMIN_TOKEN, TURN_SECRET, TURN_CREDENTIALS_TOKEN, WEBHOOK_SECRET) and the
variables that headers and tokens use. On Windows, cmd.exe runs scripts such as npx, and their child processes end only when their input closes.

Sharing an endpoint (--url): each client has its own MCP session, and every request carries the --header. Put secrets into
environment variables, and the header into single quotes, so that the shell does not expand the variable.

Sharing a configuration (--config): each entry of "mcpServers" is shared in a room with the name of the entry, until all of them
have failed. With RELAY_SECRET or --key-file, expose creates and renews the tokens. Otherwise each entry needs its own token:
"rendezvous": { "tokenEnv": "FILES_TOKEN" } or { "tokenFile": "./files.token" }. \${NAME} and \${NAME:-default} in "command",
"args", "env", "cwd", "url" and "headers" are replaced by variables.
${callsHelp}
Limits: one subject can use a quarter of --max-sessions, or 16 if that is more. Further clients are rejected as "busy" and can retry.
${connectionHelp('server')}
${exitHelp('sharing failed or ended, or the relay rejected the token')}

Examples:
  RELAY_SECRET=… mcp-rendezvous expose --relay wss://relay.example -- npx -y @modelcontextprotocol/server-filesystem ~/shared
  mcp-rendezvous expose --invitation-file ./server.invitation -- python -m my_server
  export MCP_RENDEZVOUS_TOKEN=…  MCP_RENDEZVOUS_RELAY=wss://relay.example
  mcp-rendezvous expose -- npx -y @modelcontextprotocol/server-filesystem ~/shared
  mcp-rendezvous expose --token-file ./token -- python -m my_server --verbose
  API_KEY=… mcp-rendezvous expose --url http://localhost:3000/mcp --header 'Authorization: Bearer \${API_KEY}'
  RELAY_SECRET=… mcp-rendezvous expose --config ./mcp.json --room-prefix laptop-`;

const connectHelp = `
An invitation has everything that connect needs. Pass it as an argument only for a first try: other users of this machine can read it there.
Otherwise use --invitation-file or MCP_RENDEZVOUS_INVITATION, or \`mcp-rendezvous install\`. On a terminal, connect asks for it.

On stdout, connect prints only MCP messages. When the server is away (a restart, a sleeping machine), open requests get an error, and later
requests wait for --wait. When a server comes back, connect goes on with it, as if the client had started with it. It ends with its
client, or when trying again is of no use (a revoked token, a wrong secret).

With --http, connect serves an HTTP endpoint instead and prints its URL on stderr. Any program on this machine can use it, unless
you set a bearer token (MCP_RENDEZVOUS_HTTP_TOKEN or --http-token-file, at least 16 characters). Web pages can use it only from an
origin that you list with --allow-origin. To listen on a public address, set the token and the host name (--allow-host).

Each MCP session uses its own connection. Sessions close after 30 idle minutes; beyond 100 sessions the longest idle one is closed.
Requests of protocol 2026-07-28, which has no sessions, share one connection.
${connectionHelp('client')}
  MCP_RENDEZVOUS_HTTP_TOKEN   bearer token that --http requires
${exitHelp('the connection failed or ended: connect was refused or revoked, its secret is wrong, or the relay rejected the token')}

Example, in the configuration of an MCP client:
  {
    "mcpServers": {
      "desktop": {
        "command": "mcp-rendezvous",
        "args": ["connect", "--relay", "wss://relay.example"],
        "env": { "MCP_RENDEZVOUS_TOKEN": "…" }
      }
    }
  }

Example, for clients that speak HTTP:
  mcp-rendezvous connect --token-file ./token --http 127.0.0.1:3333`;

const tokenHelp = `
Environment:
  RELAY_SECRET           key of the relay, at least 32 bytes; if there are several, one per line, the first one signs
  MCP_RENDEZVOUS_RELAY   URL of the relay, whose clock dates the token, because the clock of this machine may be wrong

Exit codes:
  0   the token is on stdout
  2   an option or the key is missing or invalid

Examples:
  mcp-rendezvous token --room desk --role server --ttl 7d > ./token
  mcp-rendezvous connect --relay wss://relay.example --token-command 'mcp-rendezvous token --room desk --role client'
  mcp-rendezvous token --room desk --role client --json | jq -r .claims.jti
  mcp-rendezvous token --room desk --role client --subject agent-7 --scope "files:read" --key-file ./key.pem`;

const secretHelp = `
Give the same secret to both sides, expose and connect, in MCP_RENDEZVOUS_SECRET or with --secret-file. Do not send it through the
relay. Before the first MCP message, each side proves that it knows the secret and sees the same connection. Not even the relay can then
intercept the connection. A side with a secret connects only to a side with the same secret.

Example:
  (umask 077 && mcp-rendezvous secret > ./secret)
  mcp-rendezvous expose --secret-file ./secret -- npx -y @modelcontextprotocol/server-everything`;

const installHelp = `
Adds the server to the client's configuration file, for all your projects. Everything else in that file stays as it is, and a copy of the
old file is kept beside it. The invitation is saved in a file that only you can read. A damaged configuration file is not changed. To
replace an invitation for the same room, run the command with the new one.

Exit codes:
  0   the client has the server
  2   the invitation or the configuration file cannot be used; nothing has changed

Examples:
  mcp-rendezvous install claude-desktop mcpr1…
  mcp-rendezvous install codex --invitation-file ./invitation --name desktop
  mcp-rendezvous uninstall claude-desktop`;

const doctorHelp = `
Checks everything that a connection needs. Each line is one check: ok, warn or fail, what was found, and what to do. The last line says how
this machine will connect (directly, through TURN, relayed or not at all) and why. It never prints the token, and prints IP addresses
only with --debug. With a client token, doctor joins the room beside the connected clients. If the server is online, doctor also connects
to it, which counts as a client session there, and disconnects without sending an MCP message.

Environment:
  MCP_RENDEZVOUS_RELAY   URL of the relay
  MCP_RENDEZVOUS_TOKEN   room token
  MCP_RENDEZVOUS_SECRET  end-to-end secret, if the other side uses one
${proxyHelp.slice(1)}

Exit codes:
  0   no check failed
  1   a check failed
  2   an option is missing or invalid

Examples:
  MCP_RENDEZVOUS_TOKEN=… mcp-rendezvous doctor --relay wss://relay.example
  mcp-rendezvous doctor --token-file ./token --json | jq '.findings[] | select(.status != "ok")'

To test two machines without an MCP server, run doctor --join --peer with a server token on one of them, and doctor --peer with a
client token on the other.`;
