import { CommanderError } from 'commander';
import { createSecret } from 'mcp-rendezvous-protocol';
import { within } from './async.ts';
import { killAll } from './child.ts';
import { readConfig, refuseStray } from './config.ts';
import { exposeConfig } from './config-expose.ts';
import { connect, refuse } from './connect.ts';
import { CliError, usage } from './cli-error.ts';
import { expose } from './expose.ts';
import { connectHttp } from './http/connect-http.ts';
import { readEndpoint, readShared } from './http/http-flags.ts';
import { boundedWriter, createLog, detail, type Log } from './log.ts';
import { logLevel, readConnection, refuseTokens, seconds } from './connection-flags.ts';
import { report } from './doctor/report.ts';
import { createProgram } from './program.ts';
import { readMaxSessions, Slots } from './slots.ts';
import { Stdio } from './stdio.ts';
import { token } from './token-command.ts';
import { environmentOfChild } from './variables.ts';

/** Signals that end the program, with their numbers. */
const signals = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

const { argv, env, stdin, stdout, stderr } = process;
const write = boundedWriter(stderr);
let log: Log = createLog('normal', write);

const stopping = new AbortController();
let signalled = 0;
/** What `doctor` found. */
let healthy = true;
for (const [name, number] of Object.entries(signals)) {
  process.on(name, () => {
    if (stopping.signal.aborted) process.exit(128 + number); // the second one: at once
    signalled = 128 + number;
    log.info(`${name}: closing`);
    stopping.abort();
  });
}
process.once('exit', killAll);
// A reader that is gone ends the session where there is one; it is no reason to crash.
stderr.on('error', () => {});
stdout.on('error', () => {});

const program = createProgram({
  async expose(command, flags) {
    log = createLog(logLevel(flags), write);
    const slots = new Slots(readMaxSessions(flags.maxSessions));
    if (flags.config !== undefined) {
      const shares = readConfig(command, flags, env);
      return await exposeConfig({ shares, slots, log, stop: stopping.signal });
    }
    refuseStray(flags);
    const server = readShared(command, flags, env);
    const connection = readConnection(flags, env, 'server');
    await expose({ connection, server, env: environmentOfChild(env), slots, log, stop: stopping.signal });
  },
  async connect(flags) {
    log = createLog(logLevel(flags), write);
    const connection = readConnection(flags, env, 'client');
    const options = { connection, timeoutMs: seconds('--timeout', flags.timeout), log, stop: stopping.signal };
    const endpoint = readEndpoint(flags, env);
    if (endpoint) await connectHttp({ ...options, ...endpoint });
    else await connect({ ...options, client: new Stdio(stdin, stdout) });
  },
  async token(flags) {
    stdout.write(`${await token(flags, env)}\n`);
  },
  async secret() {
    stdout.write(`${createSecret()}\n`);
  },
  async doctor(flags) {
    healthy = await report(flags, env, stdout, stopping.signal);
  },
});

process.exitCode = await run(argv.slice(2));
// What was written last may be on its way still, unless nobody reads it.
await within(1_000, Promise.all([stdout, stderr].map((stream) => new Promise((done) => stream.write('', done)))));
process.exit();

async function run(args: string[]): Promise<number> {
  try {
    refuseTokens(args);
    await program.parseAsync(args, { from: 'user' });
    return signalled || (healthy ? 0 : 1);
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0; // help or version, and printed
    if (signalled) return signalled;
    const mistake = thrown instanceof CommanderError ? mistakeOf(thrown, args) : thrown;
    log.error(`${(mistake as Error).message}${log.verbose ? detail(mistake) : ''}`);
    if (!(mistake instanceof CliError) || mistake.code !== 'bad_option') return 1;
    // An MCP client that started this waits for an answer; a person at a terminal does not.
    if (commandOf(args) === 'connect' && !args.includes('--http') && !stdin.isTTY)
      await refuse(new Stdio(stdin, stdout), mistake);
    return 2;
  }
}

function commandOf(args: readonly string[]): string | undefined {
  return args.find((arg) => !arg.startsWith('-'));
}

function mistakeOf({ code, message }: CommanderError, args: readonly string[]): CliError {
  if (code === 'commander.help') return usage('No command: expose, connect, token, secret or doctor.');
  const command = commandOf(args);
  const help = `mcp-rendezvous ${command && code !== 'commander.unknownCommand' ? `${command} ` : ''}--help`;
  return usage(`${message.replace(/^error: |\.$/g, '').replaceAll('\n', ' ')}. See ${help}`);
}
