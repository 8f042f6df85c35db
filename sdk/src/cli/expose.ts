import { once } from 'node:events';
import { RendezvousError } from 'mcp-rendezvous-protocol';
import type { JsonRpcMessage, JsonRpcRequest } from '../link/message.ts';
import type { RemotePeer } from '../signaling/relay-connection.ts';
import { type Listener, listen } from '../transport/listen.ts';
import type { WebRTCServerTransport } from '../transport/server.ts';
import { Bridge } from './bridge.ts';
import { type CallRules, guarded } from './calls/guarded-end.ts';
import { Child } from './child.ts';
import { debugSteps, pathOf, provenBy } from './connect.ts';
import { CliError } from './cli-error.ts';
import { LazyEnd } from './lazy-end.ts';
import { detail, type Log } from './log.ts';
import { launchCommand } from './launch-command.ts';
import type { UpstreamOptions } from './http/upstream.ts';
import type { Connection } from './connection-flags.ts';
import type { InvitationHost } from './invitations/host.ts';
import { WarmProcess } from './warm-process.ts';
import type { Slots } from './slots.ts';
import type { ServerSource } from './server-source.ts';
import { letGrow } from './young-generation.ts';

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

export interface ExposeOptions extends CallRules {
  connection: Connection;
  /** Whom this process invites; undefined: clients have tokens from elsewhere. */
  host?: InvitationHost | undefined;
  /** A command, or a Streamable HTTP endpoint. */
  server: SharedCommand | UpstreamOptions;
  /** What a command sees. */
  env: NodeJS.ProcessEnv;
  /** Shared by all rooms of this process. */
  slots: Slots;
  log: Log;
  /** Whether clients can reach the room now. Their sessions go on meanwhile. */
  onreach?: ((reachable: boolean) => void) | undefined;
  /** Stops the command. */
  stop: AbortSignal;
}

/**
 * The command `expose`: an MCP server for whoever joins the room, one process or HTTP session for
 * each client. Resolves when `stop` fires.
 *
 * @throws CliError, RendezvousError: what ended it
 */
export async function expose(options: ExposeOptions): Promise<void> {
  const { connection, host, slots, log, stop } = options;
  const failure = new AbortController();
  const ending = AbortSignal.any([stop, failure.signal]);
  const sessions = new Map<Bridge, WebRTCServerTransport>();
  const { server } = options;
  const source: ServerSource =
    'url' in server
      ? await endpoint(server, log)
      : new WarmProcess({
          name: server.command,
          spawn: spawner(server, options),
          log,
          idle: () => sessions.size === 0,
          onhopeless: (error) => failure.abort(error),
        });

  const accept = (transport: WebRTCServerTransport, peer: RemotePeer) => {
    // The session would end with the others a moment later, and what was asked in it be lost.
    if (ending.aborted) throw new RendezvousError('busy', 'The MCP server is ending.', { retryable: true });
    const giveBack = slots.take(peer);
    const session = serve(transport, peer, source, options);
    sessions.set(session, transport);
    // A session that never connects ends with its timeout, and a connected one when its process
    // exits.
    void session.ended.then(() => {
      giveBack();
      sessions.delete(session);
      if (sessions.size === 0) source.refill();
    });
  };

  let listener: Listener | undefined;
  try {
    await source.open();
    const { relay, token, secret, iceServers, claims, invitation } = connection;
    const place = invitation ? { invitation } : { relay, token, ...(secret && { secret }), ...(claims && { claims }) };
    listener = await listen(
      {
        ...place,
        ...(iceServers && { iceServers }),
        ...(host && { authorize: (peer) => host.admits(peer) }),
        signal: ending,
        ondiagnostic: debugSteps(log),
      },
      accept,
    );
    watch(listener, failure, options);
    letGrow();
    announce(options, source.name);
    const revoked = new CliError('session_closed', 'The invitation of this client was revoked.');
    const end = (id: string): void => {
      log.info(`the invitation ${id} was revoked`, { event: 'invitation_revoked', id });
      for (const [session, { peer }] of sessions) if (peer?.claims.jti === id) void session.close(revoked);
    };
    host?.follow(listener, end, ending);
    options.onreach?.(true);
    await host?.announce(listener);
    if (!ending.aborted) await once(ending, 'abort');
  } catch (error) {
    if (!ending.aborted) failure.abort(error);
  } finally {
    const reason = new CliError('session_closed', 'The MCP server is no longer shared.', true);
    const closeAll = () => Promise.all(Array.from(sessions.keys(), (session) => session.close(reason)));
    await closeAll();
    await listener?.close();
    await closeAll();
    await source.close();
  }
  if (!failure.signal.aborted) return;
  const error: unknown = failure.signal.reason;
  if (!(error instanceof CliError)) throw error;
  throw new CliError(error.code, `${error.message} The command is ${JSON.stringify(source.name)}.`);
}

/** Loaded when it is needed: with HTTP Node loads all of fetch. */
async function endpoint(server: UpstreamOptions, log: Log): Promise<ServerSource> {
  const { HttpSource } = await import('./http/http-source.ts');
  return new HttpSource(server, log);
}

/** An invitation for people: what it was called, and its id, by which it can be revoked. */
const named = ({ name, invitationId: id }: { name?: string; invitationId: string }): string =>
  name === undefined ? id : `${JSON.stringify(name)}, ${id}`;

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
  const { log, server, host, connection } = options;
  const { subject } = peer;
  const client = `client ${subject}`;
  // A token is enough to send an offer, so the process starts only when the channel is open.
  const upstream = new LazyEnd(() => guarded(source.take(), options, peer, connection.room));
  let connected = false;
  transport.onstatechange = (state) => {
    if (state === 'recovering')
      log.info(`lost the connection to ${client}, reconnecting…`, { event: 'client_reconnecting', client: subject });
    if (state !== 'connected') return;
    if (!connected) {
      const by = host?.invitationOf(peer);
      const event = { event: 'client_connected', client: subject, verified: transport.peer?.verified, ...by };
      log.info(`${client} connected${provenBy(transport)}${by ? `; its invitation is ${named(by)}` : ''}`, event);
    } else {
      const event = { event: 'client_reconnected', client: subject };
      void pathOf(transport).then((path) => log.info(`reconnected to ${client}${path}`, event));
    }
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
      { event: 'client_ended', client: subject, code: (error as { code?: string } | undefined)?.code },
    );
  });
  return bridge;
}

/**
 * Clients of 2026-07-28 first send `server/discover` to learn the protocol version of a server.
 * Some older stdio servers exit at any request before `initialize`, so this answers for them.
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

function watch(listener: Listener, failure: AbortController, { log, onreach }: ExposeOptions): void {
  listener.onerror = (error) => log.info(`${error.message}${log.verbose ? detail(error) : ''}`);
  listener.onclose = (error) => error && failure.abort(error);
  listener.onstatechange = (state) => {
    if (state === 'reconnecting')
      log.info('lost the relay, reconnecting; open sessions continue', { event: 'relay_lost' });
    if (state === 'joined') log.info('reconnected to the relay', { event: 'relay_joined' });
    onreach?.(state === 'joined');
  };
}

function announce({ connection: { relay, room, subject, secret }, host, log }: ExposeOptions, name: string): void {
  const event = { event: 'sharing', server: name, room, subject, relay };
  log.info(`sharing ${name} in room ${room} as ${subject} through ${relay}`, event);
  if (host) return log.info('only clients with an invitation to this room get in');
  const [command, ...args] = launchCommand();
  const entry = {
    mcpServers: {
      [room]: {
        command,
        args: [...args, 'connect', '--relay', relay],
        env: {
          MCP_RENDEZVOUS_TOKEN: '<client token>',
          ...(secret && { MCP_RENDEZVOUS_SECRET: '<the same secret as here>' }),
        },
      },
    },
  };
  log.block(
    `Add this to the MCP client's configuration. The client token must be for room ${JSON.stringify(room)} and role "client":\n\n` +
      JSON.stringify(entry, null, 2),
  );
}
