import { fileURLToPath } from 'node:url';
import { CommanderError } from 'commander';
import { within } from './async.ts';
import { CliError, usage } from './cli-error.ts';
import { boundedWriter, createLog, detail, type Log } from './log.ts';
import { type Connection, logLevel, refuseExpired, refuseTokens, seconds } from './connection-flags.ts';
import { looksLikeInvitation } from './invitation-form.ts';
import { giveBackWhenIdle } from './idle-memory.ts';
import { createProgram } from './program.ts';
import type { ServerMemory } from './standing-bridge/server-memory.ts';
import { keepSmall } from './young-generation.ts';

keepSmall();

/** Signals that end the program, with their numbers. */
const signals = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

const { argv, env, stdin, stdout, stderr } = process;
/** Known before the options are read, as something may be said before. */
const reader = wantsJson(argv.slice(2)) ? 'json' : stderr.isTTY ? 'terminal' : 'pipe';
const write = boundedWriter(stderr, reader);
let log: Log = createLog('normal', write, reader);

const stopping = new AbortController();
let signalled = 0;
let healthy = true;
for (const [name, number] of Object.entries(signals)) {
  process.on(name, () => {
    if (stopping.signal.aborted) process.exit(128 + number); // the second one: at once
    signalled = 128 + number;
    log.info(`${name}: closing`);
    stopping.abort();
  });
}
// A closed output ends the session if there is one, and must not crash the process.
stderr.on('error', () => {});
stdout.on('error', () => {});

/** For commands that print a result. */
const output = {
  print: (text: string) => void stdout.write(`${text}\n`),
  tell: (line: string) => log.info(line),
};

/** Undefined where nobody can paste one. */
const ask = stdin.isTTY && stderr.isTTY ? askForInvitation : undefined;

async function askForInvitation(): Promise<string> {
  const { pastedInvitation } = await import('./pasted-invitation.ts');
  return await pastedInvitation(stdin, stderr);
}

async function memoryOf({ relay, room, subject }: Connection): Promise<ServerMemory> {
  const { memoryDirectory, ServerMemory } = await import('./standing-bridge/server-memory.ts');
  return new ServerMemory([relay, room, subject], memoryDirectory(env));
}

// Each command loads only its own modules, so that all of them start fast.
const program = createProgram({
  async expose(command, flags) {
    log = createLog(logLevel(flags), write, reader);
    giveBackWhenIdle();
    const { runExpose } = await import('./expose-command.ts');
    await runExpose({ command, flags, env, log, stop: stopping.signal });
  },
  async connect(argument, flags) {
    log = createLog(logLevel(flags), write, reader);
    giveBackWhenIdle();
    const { findConnection } = await import('./find-connection.ts');
    const connection = await findConnection({ argument, flags, env }, 'client', ask);
    const options = { connection, timeoutMs: seconds('--timeout', flags.timeout), log, stop: stopping.signal };
    const { readEndpoint } = await import('./http/endpoint-flags.ts');
    const endpoint = readEndpoint(flags, env);
    await refuseExpired(connection);
    const { tellExpiries } = await import('./expiry-notice.ts');
    tellExpiries(connection, log, stopping.signal);
    const memory = flags.remember ? await memoryOf(connection) : undefined;
    const standing = { ...options, waitMs: seconds('--wait', flags.wait), memory };
    if (endpoint) {
      const { connectHttp } = await import('./http/connect-http.ts');
      return await connectHttp({ ...standing, ...endpoint });
    }
    if (stdin.isTTY) {
      log.info('MCP clients start this command themselves; mcp-rendezvous install adds it to one. Ctrl-C ends it.');
    }
    const { connect } = await import('./standing-bridge/connect-standing.ts');
    const { Stdio } = await import('./stdio.ts');
    await connect({ ...standing, client: new Stdio(stdin, stdout) });
  },
  async token(flags) {
    const { token } = await import('./token-command.ts');
    stdout.write(`${await token(flags, env, (line) => log.info(line))}\n`);
  },
  async secret() {
    const { createSecret } = await import('mcp-rendezvous-protocol');
    stdout.write(`${createSecret()}\n`);
  },
  async doctor(argument, flags) {
    const { report } = await import('./doctor/report.ts');
    healthy = await report(flags, { argument, env, ask }, stdout, stopping.signal);
  },
  async invite(flags) {
    const { invite } = await import('./invitations/invite-command.ts');
    await invite(flags, env, output);
  },
  async listInvitations(flags) {
    const { listInvitations } = await import('./invitations/invite-command.ts');
    listInvitations(flags, env, output);
  },
  async revokeInvitation(id) {
    const { revokeInvitation } = await import('./invitations/invite-command.ts');
    await revokeInvitation(id, env, output);
  },
  async install(client, argument, flags) {
    const { runInstall } = await import('./install/install-command.ts');
    const bin = fileURLToPath(new URL('../../bin/mcp-rendezvous.js', import.meta.url));
    await runInstall({ client, flags, env, log }, { argument, ask, bin, print: output.print });
  },
  async uninstall(client, flags) {
    const { runUninstall } = await import('./install/install-command.ts');
    runUninstall({ client, flags, env, log });
  },
  async demo() {
    const { demo } = await import('./demo/demo.ts');
    await demo((text) => stdout.write(text), stopping.signal);
  },
});

program.hook('preAction', async (_, command) => {
  const { caFile } = command.opts<{ caFile?: string }>();
  if (caFile === undefined) return;
  const { trustAuthorities } = await import('./ca-file.ts');
  trustAuthorities(caFile);
});

process.exitCode = await run(argv.slice(2));
// The last output may still be buffered, unless its reader has stopped.
await within(1_000, Promise.all([stdout, stderr].map((stream) => new Promise((done) => stream.write('', done)))));
process.exit();

async function run(args: string[]): Promise<number> {
  try {
    refuseTokens(args);
    await program.parseAsync(withInvitationFlag(args), { from: 'user' });
    return signalled || (healthy ? 0 : 1);
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
    if (signalled) return signalled;
    const mistake = thrown instanceof CommanderError ? mistakeOf(thrown, args) : thrown;
    const { code } = mistake as { code?: string };
    log.error(`${(mistake as Error).message}${log.verbose ? detail(mistake) : ''}`, { event: 'failed', code });
    if (!(mistake instanceof CliError) || mistake.code !== 'bad_option') return 1;
    // An MCP client that started this process waits for a response; a user at a terminal does not.
    if (commandOf(args) === 'connect' && !args.includes('--http') && !stdin.isTTY) {
      const { refuse } = await import('./connect.ts');
      const { Stdio } = await import('./stdio.ts');
      await refuse(new Stdio(stdin, stdout), mistake);
    }
    return 2;
  }
}

function wantsJson(args: string[]): boolean {
  const end = args.indexOf('--');
  const own = end < 0 ? args : args.slice(0, end);
  return own.includes('--json') && ['expose', 'connect'].includes(commandOf(own) ?? '');
}

/**
 * The invitation of `expose` as the value of an option: everything behind a positional argument
 * would be the shared command's. It is the first argument, or any in front of `--`.
 */
function withInvitationFlag(args: string[]): string[] {
  const end = Math.max(args.indexOf('--'), 2);
  const at = args.findIndex((text, index) => index < end && looksLikeInvitation(text));
  return commandOf(args) === 'expose' && at > 0 && args[at - 1] !== '--invitation'
    ? args.toSpliced(at, 0, '--invitation')
    : args;
}

function commandOf(args: readonly string[]): string | undefined {
  return args.find((arg) => !arg.startsWith('-'));
}

function mistakeOf({ code, message }: CommanderError, args: readonly string[]): CliError {
  if (code === 'commander.help')
    return usage('No command given. Use expose, connect, invite, install, token, secret or doctor.');
  const command = commandOf(args);
  const help = `mcp-rendezvous ${command && code !== 'commander.unknownCommand' ? `${command} ` : ''}--help`;
  return usage(`${message.replace(/^error: |\.$/g, '').replaceAll('\n', ' ')}. See ${help}`);
}
