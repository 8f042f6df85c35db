import { once } from 'node:events';
import type { JsonRpcMessage, JsonRpcRequest } from '../link/message.ts';
import type { RemotePeer } from '../signaling/relay-connection.ts';
import { type Listener, listen } from '../transport/listen.ts';
import type { WebRTCServerTransport } from '../transport/server.ts';
import { Bridge } from './bridge.ts';
import { Child } from './child.ts';
import { pathOf } from './connect.ts';
import { CliError } from './cli-error.ts';
import { LazyEnd } from './lazy-end.ts';
import { detail, type Log } from './log.ts';
import { HttpSource } from './http/http-source.ts';
import type { UpstreamOptions } from './http/upstream.ts';
import type { Connection } from './connection-flags.ts';
import { WarmProcess } from './warm-process.ts';
import type { Slots } from './slots.ts';
import type { ServerSource } from './server-source.ts';

/** A stdio server, started for each client. */
export interface SharedCommand {
  command: string;
  args: readonly string[];
  /** Where it runs. Default: here. */
  cwd?: string | undefined;
  /** Variables beside those of `env`. */
  variables?: Record<string, string> | undefined;
  /** The server knows `server/discover`; otherwise it is answered on the server's behalf. */
  discover: boolean;
}

export interface ExposeOptions {
  connection: Connection;
  /** A command, or a Streamable HTTP endpoint. */
  server: SharedCommand | UpstreamOptions;
  /** What a command sees. */
  env: NodeJS.ProcessEnv;
  /** Shared by all rooms of this process. */
  slots: Slots;
  log: Log;
  /** Ends the command in good order. */
  stop: AbortSignal;
}

/**
 * The command `expose`: an MCP server for whoever joins the room, one process or HTTP session for each client. Resolves when `stop` fires.
 *
 * @throws CliError, RendezvousError: what ended it
 */
export async function expose(options: ExposeOptions): Promise<void> {
  const { connection, slots, log, stop } = options;
  const failure = new AbortController();
  const ending = AbortSignal.any([stop, failure.signal]);
  const sessions = new Set<Bridge>();
  const { server } = options;
  const source: ServerSource =
    'url' in server
      ? new HttpSource(server, log)
      : new WarmProcess({
          name: server.command,
          spawn: spawner(server, options),
          log,
          idle: () => sessions.size === 0,
          onhopeless: (error) => failure.abort(error),
        });

  const accept = (transport: WebRTCServerTransport, peer: RemotePeer) => {
    const giveBack = slots.take(peer);
    const session = serve(transport, peer, source, options);
    sessions.add(session);
    // One that never connects ends with its time limit, and one that did when its process has gone.
    void session.ended.then(() => {
      giveBack();
      sessions.delete(session);
      if (sessions.size === 0) source.refill();
    });
  };

  let listener: Listener | undefined;
  try {
    await source.open();
    const { relay, token, secret } = connection;
    listener = await listen({ relay, token, ...(secret && { secret }), signal: ending }, accept);
    watch(listener, failure, log);
    announce(options, source.name);
    if (!ending.aborted) await once(ending, 'abort');
  } catch (error) {
    if (!ending.aborted) failure.abort(error);
  } finally {
    const reason = new CliError('session_closed', 'The MCP server is not shared any more.', true);
    const closeAll = () => Promise.all([...sessions].map((session) => session.close(reason)));
    await closeAll();
    await listener?.close();
    await closeAll(); // a client that came meanwhile
    await source.close();
  }
  if (!failure.signal.aborted) return;
  const error: unknown = failure.signal.reason;
  if (!(error instanceof CliError)) throw error;
  throw new CliError(error.code, `${error.message} The command is ${JSON.stringify(source.name)}.`);
}

/** Starts processes, numbered for the log. */
function spawner({ command, args, cwd, variables }: SharedCommand, { env, log }: ExposeOptions): () => Child {
  let count = 0;
  return () => {
    const name = `server ${(count += 1)}`;
    const child = new Child({
      command,
      args,
      cwd,
      env: { ...env, ...variables },
      onoutput: (line) => log.output(name, line),
    });
    log.debug(`${name} is process ${child.pid ?? '(not started)'}`);
    return child;
  };
}

function serve(
  transport: WebRTCServerTransport,
  peer: RemotePeer,
  source: ServerSource,
  options: ExposeOptions,
): Bridge {
  const { log, server } = options;
  const client = `client ${peer.subject}`;
  // A token is enough for an offer, and a process is dear: there is one when the channel is open.
  const upstream = new LazyEnd(() => source.take());
  let connected = false;
  transport.onstatechange = (state) => {
    if (state === 'recovering') log.info(`lost the connection to ${client}, it is being restored…`);
    if (state !== 'connected') return;
    if (!connected) log.info(`${client} connected`);
    else void pathOf(transport).then((path) => log.info(`the connection to ${client} is back${path}`));
    connected = true;
    upstream.need();
  };
  log.debug(`${client} has peer id ${peer.id}`);
  const bridge = new Bridge(transport, upstream, {
    ...('url' in server || server.discover ? {} : { intercept: refuseDiscover() }),
    onerror: (error) => log.info(`${client}: ${error.message}${log.verbose ? detail(error) : ''}`),
  });
  void bridge.ended.then(({ side, error }) => {
    if (side === undefined) return; // the end of it all, which is said once
    const why = error ? `: ${error.message}` : '';
    log.info(
      connected
        ? `${client} ${side === 'downstream' ? 'left' : 'was closed'}${why}`
        : `${client} did not connect${why}`,
    );
  });
  return bridge;
}

/**
 * Clients of 2026-07-28 ask with `server/discover` which era a server is of, before anything else. Some older stdio servers exit
 * at any request before `initialize`, so that the answer of an older server is given for them.
 */
function refuseDiscover(): (request: JsonRpcRequest) => JsonRpcMessage | undefined {
  let first = true;
  return ({ id, method }) => {
    if (first && method === 'server/discover') {
      return { jsonrpc: '2.0', id, error: { code: -32_601, message: 'Method not found' } };
    }
    first = false;
    return undefined;
  };
}

function watch(listener: Listener, failure: AbortController, log: Log): void {
  listener.onerror = (error) => log.info(`${error.message}${log.verbose ? detail(error) : ''}`);
  listener.onclose = (error) => error && failure.abort(error);
  listener.onstatechange = (state) => {
    if (state === 'reconnecting') log.info('relay lost, reconnecting; open sessions go on');
    if (state === 'joined') log.info('back in the room');
  };
}

function announce({ connection: { relay, room, subject, secret }, log }: ExposeOptions, name: string): void {
  log.info(`sharing ${name} in room ${room} as ${subject} through ${relay}`);
  const entry = {
    mcpServers: {
      [room]: {
        command: 'npx',
        args: ['-y', 'mcp-rendezvous', 'connect', '--relay', relay],
        env: {
          MCP_RENDEZVOUS_TOKEN: '<client token>',
          ...(secret && { MCP_RENDEZVOUS_SECRET: '<the secret of this side>' }),
        },
      },
    },
  };
  log.block(
    `For the MCP client's configuration. The client token is one for room ${JSON.stringify(room)} and role "client":\n\n` +
      JSON.stringify(entry, null, 2),
  );
}
