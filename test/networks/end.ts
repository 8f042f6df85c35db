import type { Client } from '@modelcontextprotocol/client';
import {
  type Engine,
  listen,
  type Path,
  RendezvousError,
  WebRTCClientTransport,
  type WebRTCTransport,
} from 'mcp-rendezvous';
import { type Plan, sendNumbered, Tally } from '../adversary/stream.ts';
import { connectClient, createServer, type Exchange, exchange } from '../interop/exchange.ts';

/** Where and as whom to join, and how long that may take. */
export interface Place {
  relay: string;
  token: string;
  connectTimeoutMs: number;
}

/** Times are milliseconds since the epoch. */
export interface PathSeen {
  path: Path;
  at: number;
}

/** What one end has seen so far. */
export interface EndReport {
  state: string;
  /** Over which paths the session went, the present one at last. */
  paths: PathSeen[];
  /** What makes the connections, or made the last one. */
  engine: string;
  sent: number;
  received: number;
  doubled: number;
  reordered: number;
  damaged: number;
  longestPauseMs: number;
  events: string[];
}

/** A session that stands, or the code of the error why not. */
export type Connected = { firstAnswerMs: number } | { failed: string };

/** One end of the session, in Node or in a page: arguments and results are plain data. */
export interface End {
  /** Joins as the room's MCP server. */
  serve(place: Place): Promise<void>;
  /** Connects as an MCP client: `initialize` is answered when it resolves. */
  connect(place: Place): Promise<Connected>;
  /** The client's: list, call, and large arguments and results. */
  exchange(): Promise<Exchange>;
  /** Starts to send numbered messages. */
  begin(plan: Plan): Promise<void>;
  report(): Promise<EndReport>;
  /** Ends the session cleanly. */
  leave(): Promise<void>;
}

/** @param rtc without one the default @param engine its name */
export function createEnd(rtc: Engine | undefined, engine: string): End {
  const tally = new Tally();
  const paths: PathSeen[] = [];
  const events: string[] = [];
  let sent = 0;
  let client: Client | undefined;
  let transport: WebRTCTransport | undefined;
  let leave = async (): Promise<void> => {};

  const note = (what: string): void => void events.push(`${new Date().toISOString()} ${what}`);
  const options = (place: Place) => ({
    ...place,
    ...(rtc && { rtc }),
    ondiagnostic: ({ at: _, peer: __, type, ...details }: { type: string; at: number; peer?: string }) => {
      if (type === 'engine_changed') engine = (details as { to: string }).to;
      if (type !== 'candidate') note(`${type} ${Object.values(details).join(' ')}`.trimEnd());
    },
  });
  const watch = (session: WebRTCTransport): void => {
    transport = session;
    session.onpathchange = (path) => paths.push({ path, at: Date.now() });
  };
  /** The numbered messages go past the MCP SDK, which promises no order. */
  const tap = (session: WebRTCTransport): void => {
    const { onmessage } = session;
    session.onmessage = (message, extra) => {
      if (!tally.take(message)) onmessage?.(message, extra);
    };
  };

  return {
    async serve(place) {
      const listener = await listen(options(place), async (session) => {
        watch(session);
        const server = createServer();
        server.server.onerror = (error) => note(`error: ${error.message}`);
        await server.connect(session);
        tap(session);
      });
      leave = () => listener.close();
    },
    async connect(place) {
      const session = new WebRTCClientTransport(options(place));
      watch(session);
      const started = performance.now();
      try {
        ({ client } = await connectClient(session));
      } catch (error) {
        note(String(error));
        return { failed: error instanceof RendezvousError ? error.code : String(error) };
      }
      const firstAnswerMs = performance.now() - started;
      client.onerror = (error) => note(`error: ${error.message}`);
      leave = () => client!.close();
      tap(session);
      return { firstAnswerMs };
    },
    exchange: () => exchange(client!),
    async begin(plan) {
      sendNumbered(transport!, plan, (number) => (sent = number)).catch((error: unknown) => note(String(error)));
    },
    report: async () => {
      const { received, doubled, reordered, damaged, longestPauseMs } = tally;
      const state = transport?.state ?? 'new';
      return { state, paths, engine, sent, received, doubled, reordered, damaged, longestPauseMs, events };
    },
    leave: () => leave(),
  };
}
