import { Client } from '@modelcontextprotocol/client';
import { McpServer } from '@modelcontextprotocol/server';
import {
  type DiagnosticEvent,
  type Engine,
  listen,
  RendezvousError,
  WebRTCClientTransport,
  type WebRTCTransport,
} from 'mcp-rendezvous';
import * as z from 'zod';
import { Hold } from './hold.ts';
import type { Carried, Stretch } from './pauses.ts';
import { pause, type Plan, sendNumbered, Tally } from './stream.ts';
import { Random } from './random.ts';

/** Where and as whom to join. */
export interface Place {
  relay: string;
  token: string;
}

export interface Recovery {
  how: 'ICE restart' | 'new connection' | 'same connection';
  tookMs: number;
}

/** What one end has seen so far. */
export interface EndReport {
  state: string;
  sent: number;
  received: number;
  doubled: number;
  reordered: number;
  damaged: number;
  pauses: Stretch[];
  sinceArrivalMs: number;
  /** The client's: calls that were answered, and calls that failed. */
  answered: number;
  failed: number;
  /** The server's: calls that ran, and those of them that ran more than once. */
  ran: number;
  ranAgain: number;
  recoveries: Recovery[];
  carried: Carried[];
  /** What went wrong, when (milliseconds since the epoch), and what the states were. */
  events: string[];
  memoryMiB: number;
}

/**
 * One end of the session that runs alike in Node and in a page: arguments and results are plain
 * data.
 */
export interface End {
  /** Joins as the room's MCP server. */
  serve(place: Place): Promise<void>;
  /** Connects as an MCP client: `initialize` is done when it resolves. */
  connect(place: Place): Promise<void>;
  /** Starts to send. */
  begin(plan: Plan): Promise<void>;
  /** Closes the peer connection on this side, behind the SDK's back. */
  cut(): Promise<void>;
  report(): Promise<EndReport>;
  /** Ends the session in order. */
  leave(): Promise<void>;
}

/**
 * Longer than any storm: what the adversary does must not be mistaken for a timeout of the MCP SDK.
 */
const callTimeoutMs = 300_000;
/**
 * A tool runs for so long at the most, so that connections are lost between a call and its answer.
 */
const toolMs = 300;

export function createEnd(engine: Engine, memoryMiB: () => number): End {
  const hold = new Hold(engine);
  const tally = new Tally();
  const runs = new Map<number, number>();
  const recoveries: Recovery[] = [];
  const carried: Carried[] = [];
  const events: string[] = [];
  const calls = { answered: 0, failed: 0 };
  let sent = 0;
  let client: Client | undefined;
  let transport: WebRTCTransport | undefined;
  let leave = async (): Promise<void> => {};

  const note = (what: string): void => void events.push(`${new Date().toISOString()} ${what}`);
  const noteError = (error: unknown): void => note(describe(error));

  /** What a session says of itself, step by step. */
  const ondiagnostic = (event: DiagnosticEvent): void => {
    if (event.type === 'candidate') return;
    const { type, at: _, peer: __, ...details } = event;
    note([type, ...Object.values(details)].join(' '));
    if (event.type === 'path_changed') carry(event.path);
  };
  const carry = (path: Carried['path']): void => void carried.push({ at: Date.now(), path });

  const watch = (session: WebRTCTransport): void => {
    transport = session;
    let lost = { at: 0, connections: 0, restarts: 0 };
    session.onstatechange = (state) => {
      if (state === 'recovering') carry(undefined);
      const { connections, restarts } = hold;
      if (state === 'recovering') lost = { at: performance.now(), connections, restarts };
      if (state !== 'connected' || lost.at === 0) return;
      const how =
        connections > lost.connections
          ? 'new connection'
          : restarts > lost.restarts
            ? 'ICE restart'
            : 'same connection';
      recoveries.push({ how, tookMs: performance.now() - lost.at });
      note(`recovered by ${how}`);
    };
  };
  /**
   * The numbered messages go past the MCP SDK, which would handle them one by one but promises no
   * order.
   */
  const tap = (session: WebRTCTransport): void => {
    const { onmessage } = session;
    session.onmessage = (message, extra) => {
      if (!tally.take(message)) onmessage?.(message, extra);
    };
  };
  const call = async (number: number): Promise<void> => {
    try {
      const { structuredContent } = await client!.callTool(
        { name: 'count', arguments: { number } },
        { timeout: callTimeoutMs },
      );
      if ((structuredContent as { number: number }).number !== number) throw new Error('the answer to another call');
      calls.answered++;
    } catch (error) {
      calls.failed++;
      noteError(error);
    }
  };

  return {
    async serve(place) {
      const listener = await listen({ ...place, rtc: hold.engine, ondiagnostic }, async (session) => {
        watch(session);
        const server = createServer(runs);
        server.server.onerror = noteError;
        await server.connect(session);
        tap(session);
      });
      listener.onerror = noteError;
      listener.onstatechange = (state) => note(`signaling ${state}`);
      leave = () => listener.close();
    },
    async connect(place) {
      const session = new WebRTCClientTransport({ ...place, rtc: hold.engine, ondiagnostic });
      watch(session);
      client = new Client({ name: 'client', version: '1.0.0' });
      client.onerror = noteError;
      leave = () => client!.close();
      await client.connect(session);
      tap(session);
    },
    async begin(plan) {
      if (!transport) throw new Error('There is no session yet.');
      sendNumbered(transport, plan, (number) => (sent = number)).catch(noteError);
      const random = new Random(~plan.seed);
      for (let number = 1; client && number <= plan.calls; number++) {
        void pause(random.between(0, plan.durationMs)).then(() => call(number));
      }
    },
    cut: async () => hold.cut(),
    report: async () => {
      const { received, doubled, reordered, damaged, pauses, sinceArrivalMs } = tally;
      return {
        state: transport?.state ?? 'new',
        sent,
        received,
        doubled,
        reordered,
        damaged,
        pauses,
        sinceArrivalMs,
        ...calls,
        ran: runs.size,
        ranAgain: [...runs.values()].filter((count) => count > 1).length,
        recoveries,
        carried,
        events,
        memoryMiB: memoryMiB(),
      };
    },
    leave: () => leave(),
  };
}

/** Counts how often each call is carried out. */
function createServer(runs: Map<number, number>): McpServer {
  const server = new McpServer({ name: 'server', version: '1.0.0' });
  const number = z.object({ number: z.number() });
  server.registerTool('count', { inputSchema: number, outputSchema: number }, async (structuredContent) => {
    runs.set(structuredContent.number, (runs.get(structuredContent.number) ?? 0) + 1);
    await pause(Math.random() * toolMs);
    return { content: [], structuredContent };
  });
  return server;
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = error instanceof RendezvousError ? ` (${error.code})` : '';
  return `${error.name}${code}: ${error.message}${error.cause === undefined ? '' : `, because of ${describe(error.cause)}`}`;
}
