import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import type { ConnectionFlags } from './connection-flags.ts';
import { defaultSubject, type TokenFlags } from './token-command.ts';
import { variables } from './variables.ts';

export interface ExposeFlags extends ConnectionFlags {
  discover?: boolean;
  url?: string;
  header?: string[];
  config?: string;
  roomPrefix?: string;
  keyFile?: string;
  issuer?: string;
  audience?: string;
  maxSessions: string;
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
}

/** What the commands do. */
export interface Actions {
  expose: (command: string[], flags: ExposeFlags) => Promise<void>;
  connect: (flags: ConnectFlags) => Promise<void>;
  token: (flags: TokenFlags) => Promise<void>;
  secret: () => Promise<void>;
  doctor: (flags: DoctorFlags) => Promise<void>;
}

/** The command line as a user sees it: commands, options, help. It throws commander's CommanderError instead of exiting. */
export function createProgram(actions: Actions): Command {
  const program = new Command('mcp-rendezvous')
    .description('Carries MCP between machines that cannot reach each other, over WebRTC.')
    .version(version())
    .exitOverride()
    .allowExcessArguments(false)
    .configureOutput({ outputError: () => {} }) // whoever catches the CommanderError says it, in one line
    .enablePositionalOptions()
    .addHelpText('after', overview);

  connecting(program.command('expose'))
    .description(
      'share an MCP server with whoever holds a client token for the room; a session of its own for each client',
    )
    .usage(
      '[options] -- <command> [args...]\n       mcp-rendezvous expose [options] --url <url>\n       mcp-rendezvous expose [options] --config <file>',
    )
    .argument('[command...]', 'the server as it is started here; no shell is involved')
    .option('--discover', 'the server knows server/discover (MCP 2026-07-28): pass it on instead of declining it')
    .option('--url <url>', 'share a Streamable HTTP endpoint, such as http://localhost:3000/mcp, instead of a command')
    .option('--header <header>', "a header for --url, 'Name: value'; ${NAME} in it stands for a variable", collect)
    .option('--config <file>', 'share all of the mcpServers in a configuration, each in a room of its own')
    .option('--room-prefix <text>', 'with --config: goes before the names of the rooms')
    .option('--key-file <file>', 'with --config: a secret or a private key (PEM, JWK) for tokens; or RELAY_SECRET')
    .option('--issuer <issuer>', 'with --config: of the tokens')
    .option('--audience <audience>', 'with --config: of the tokens')
    .option('--max-sessions <n>', 'how many sessions there may be at the same time, in all rooms together', '64')
    .passThroughOptions()
    .addHelpText('after', exposeHelp)
    .action(actions.expose);

  connecting(program.command('connect'))
    .description("the room's MCP server as a stdio server, for Claude Desktop, Cursor, the Inspector, …, or over HTTP")
    .option('--http <address>', 'be a Streamable HTTP endpoint at /mcp instead, such as 127.0.0.1:3333; port 0: any')
    .option('--allow-host <name>', 'a name other than localhost under which --http may be called', collect)
    .option(
      '--allow-origin <origin>',
      'whose pages may call --http, such as http://localhost:6274; none by default',
      collect,
    )
    .option(
      '--http-token-file <file>',
      `a file with the bearer token that clients of --http have to present; instead of ${variables.httpToken}`,
    )
    .option('--timeout <seconds>', 'how long connecting may take, waiting for the server included', '30')
    .addHelpText('after', connectHelp)
    .action(actions.connect);

  program
    .command('token')
    .description("sign a room token with the relay's key, and print it")
    .requiredOption('--room <room>', 'peers with the same room are introduced to each other')
    .addOption(
      new Option('--role <role>', 'server (for expose) or client (for connect)')
        .choices(['server', 'client'])
        .makeOptionMandatory(),
    )
    .option('--subject <subject>', `who the peer is; by default its role and this machine: ${defaultSubject('<role>')}`)
    .option('--ttl <time>', 'how long the token is valid: seconds, or a number with s, m, h or d', '1h')
    .option('--scope <scopes>', "space-separated, for the MCP server's authInfo")
    .option('--issuer <issuer>', 'needed when the relay has a list of issuers')
    .option('--audience <audience>', 'needed when the relay expects another one than mcp-rendezvous')
    .option('--jti <id>', "the token's own name, by which it can be revoked; random by default")
    .option('--json', 'print an object with the token and its claims')
    .option('--key-file <file>', 'a secret, or a private key in PEM or JWK; instead of RELAY_SECRET')
    .addHelpText('after', tokenHelp)
    .action(actions.token);

  program
    .command('secret')
    .description('make a new end-to-end secret, and print it')
    .addHelpText('after', secretHelp)
    .action(actions.secret);

  program
    .command('doctor')
    .description('why a connection fails: relay, token, STUN, TURN, the path to the other peer')
    .option('--relay <url>', relayHelp)
    .option('--token-file <file>', 'a file with the room token; instead of MCP_RENDEZVOUS_TOKEN')
    .option('--secret-file <file>', secretFileHelp)
    .option('--join', "join the room with a server's token, too: a server that runs with it is replaced")
    .option('--peer', 'connect to the other peer, and wait for it; by default a client connects if its server is there')
    .option('--no-peer', 'do not connect to the other peer')
    .option('--json', 'print one JSON object')
    .option('--debug', 'tell IP addresses')
    .addHelpText('after', doctorHelp)
    .action(actions.doctor);

  return program;
}

function connecting(command: Command): Command {
  return command
    .option('--relay <url>', relayHelp)
    .option(
      '--token-file <file>',
      'a file with the room token, read again for every connection; instead of MCP_RENDEZVOUS_TOKEN',
    )
    .option('--secret-file <file>', secretFileHelp)
    .option('--debug', 'say more on stderr; never tokens or MCP messages')
    .option('--silent', 'say nothing on stderr but errors');
}

const collect = (value: string, before: string[] = []) => [...before, value];

function version(): string {
  const file = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(file) as { version: string }).version;
}

const overview = `
Example:
  Here:   MCP_RENDEZVOUS_TOKEN=… mcp-rendezvous expose --relay wss://relay.example -- npx -y @modelcontextprotocol/server-everything
  There:  MCP_RENDEZVOUS_TOKEN=… mcp-rendezvous connect --relay wss://relay.example

Each command has its own help: mcp-rendezvous expose --help`;

const relayHelp = "the relay's address, such as wss://relay.example; instead of MCP_RENDEZVOUS_RELAY";

const secretFileHelp = 'a file with the end-to-end secret that both sides have; instead of MCP_RENDEZVOUS_SECRET';

const connectionHelp = (role: string) => `
Environment:
  MCP_RENDEZVOUS_RELAY   the relay's address
  MCP_RENDEZVOUS_TOKEN   the room token, of role "${role}". It is no option, because others can read a program's arguments
  MCP_RENDEZVOUS_SECRET  the end-to-end secret, if both sides have one, made by: mcp-rendezvous secret`;

const exitHelp = `
Exit codes:
  0      in good order
  1      it did not connect, or it ended; the last line on stderr says why
  2      an option, a variable or the token is missing or wrong
  128+n  stopped in good order by signal n (Ctrl-C: 130)`;

const exposeHelp = `
Of a command, the first process is started at once and one is kept waiting, so that a wrong command is seen before anyone connects and
a client does not wait for a download. What a server writes on stderr comes out here as [server 1] …. Servers see this environment
without MCP_RENDEZVOUS_*, the relay's secrets (RELAY_SECRET, ADMIN_TOKEN, TURN_SECRET, TURN_CREDENTIALS_TOKEN) and the variables that
the headers and tokens of a configuration name. On Windows cmd.exe runs scripts such as npx, and what they started ends with its
input only.

Of --max-sessions, one subject can have a quarter, or 16 if that is more. A client beyond that is told "busy", and may try again.

Of an endpoint (--url), each client has an MCP session of its own, and --header goes with every request there. Put secrets into
variables, and the header in single quotes, so that the shell leaves the variable alone.

Of a configuration (--config), each entry of "mcpServers" is shared in a room of the entry's name, until all of them have failed.
With the relay's key at hand (RELAY_SECRET or --key-file) the tokens are made here, and renewed. Without it each entry names its
own: "rendezvous": { "tokenEnv": "FILES_TOKEN" } or { "tokenFile": "./files.token" }. \${NAME} in "headers" stands for a variable.
${connectionHelp('server')}
${exitHelp}

Examples:
  export MCP_RENDEZVOUS_TOKEN=…  MCP_RENDEZVOUS_RELAY=wss://relay.example
  mcp-rendezvous expose -- npx -y @modelcontextprotocol/server-filesystem ~/Documents
  mcp-rendezvous expose --token-file ./token -- python -m my_server --verbose
  API_KEY=… mcp-rendezvous expose --url http://localhost:3000/mcp --header 'Authorization: Bearer \${API_KEY}'
  RELAY_SECRET=… mcp-rendezvous expose --config ./mcp.json --room-prefix laptop-`;

const connectHelp = `
Only MCP is on stdout. When there is no connection, requests are answered with an error that says why.

With --http the server is an HTTP endpoint instead, whose URL is printed on stderr. Every program on this machine can use it, unless
you give it a bearer token (MCP_RENDEZVOUS_HTTP_TOKEN or --http-token-file, at least 16 characters). Pages in a browser can only from
the origins of --allow-origin: scheme, host and port. Listening on another address needs the token, and --allow-host, the name under
which clients call. Each MCP session has a connection of its own, and is over after 30 minutes without use, or when it is the one of a
hundred that was idle for longest and another one begins; requests of protocol 2026-07-28, which has no sessions, share one connection.
${connectionHelp('client')}
  MCP_RENDEZVOUS_HTTP_TOKEN   the bearer token that clients of --http have to present
${exitHelp}

Example, in the configuration of an MCP client:
  {
    "mcpServers": {
      "desktop": {
        "command": "npx",
        "args": ["-y", "mcp-rendezvous", "connect", "--relay", "wss://relay.example"],
        "env": { "MCP_RENDEZVOUS_TOKEN": "…" }
      }
    }
  }

Example, for clients that speak HTTP:
  mcp-rendezvous connect --token-file ./token --http 127.0.0.1:3333`;

const tokenHelp = `
Environment:
  RELAY_SECRET   the key that the relay has under the same name, at least 32 bytes; of several, one a line, the first

Exit codes:
  0   the token is on stdout
  2   an option or the key is missing or wrong

Examples:
  mcp-rendezvous token --room desk --role server --ttl 7d > ./token
  MCP_RENDEZVOUS_TOKEN=$(mcp-rendezvous token --room desk --role client) mcp-rendezvous connect --relay wss://relay.example
  mcp-rendezvous token --room desk --role client --json | jq -r .claims.jti
  mcp-rendezvous token --room desk --role client --subject agent-7 --scope "files:read" --key-file ./key.pem`;

const secretHelp = `
Give the same secret to both sides, expose and connect, by a way that is not the relay: in MCP_RENDEZVOUS_SECRET or a file for
--secret-file. Before any MCP message passes, each side then proves that it knows the secret and sees the same connection, so that
not even the relay can sit in between. A side that has a secret connects only with one that has the same.

Example:
  (umask 077 && mcp-rendezvous secret > ./secret)
  mcp-rendezvous expose --secret-file ./secret -- npx -y @modelcontextprotocol/server-everything`;

const doctorHelp = `
Looks at all that a connection needs, one line for each check: ok, warn or fail, what was seen, and what to do. It prints no
token, and IP addresses with --debug only. It joins the room beside the clients that are there; a client token also opens a
data channel to the server, which is a client session there, and closes it at once: no MCP message is sent.

Environment:
  MCP_RENDEZVOUS_RELAY   the relay's address
  MCP_RENDEZVOUS_TOKEN   the room token
  MCP_RENDEZVOUS_SECRET  the end-to-end secret, if the other side has one

Exit codes:
  0   nothing failed
  1   something did
  2   an option is missing or wrong

Examples:
  MCP_RENDEZVOUS_TOKEN=… mcp-rendezvous doctor --relay wss://relay.example
  mcp-rendezvous doctor --token-file ./token --json | jq '.findings[] | select(.status != "ok")'

Two machines without any MCP server: doctor --join --peer with a server token here, doctor --peer with a client token there.`;
