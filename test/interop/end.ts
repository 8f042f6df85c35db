import type { Client } from '@modelcontextprotocol/client';
import {
  type ConnectOptions,
  listen,
  RelayConnection,
  type Signaling,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { connectClient, createServer, type Exchange, exchange } from './exchange.ts';

/** Where and how to meet. */
export interface Place {
  relay: string;
  token: string;
  /**
   * The client's offer travels with trickled candidates; a server that offers puts them into its
   * description.
   */
  offers: 'client' | 'server';
  /** `relay`: this side goes only through TURN. */
  iceTransportPolicy: 'all' | 'relay';
}

/**
 * One end of a cell of the matrix, in this process, in a page, or in Python. Arguments and results
 * are plain data.
 */
export interface End {
  /** Joins as the room's MCP server; with `offers: 'server'` its one client may come later. */
  serve(place: Place): Promise<void>;
  /** Joins as a client and initializes a session. Resolves with the milliseconds that took. */
  connect(place: Place): Promise<number>;
  exchange(): Promise<Exchange>;
  /** Ends the session and leaves. */
  close(): Promise<void>;
  /**
   * Resolves when the session of this server has been ended by the client, and this side has left.
   */
  closed(): Promise<void>;
}

declare global {
  /** In the page only. */
  var interop: End;
}

/** An end that is this SDK's, with that engine. */
export function createEnd(rtc?: ConnectOptions['rtc']): End {
  const options = ({ iceTransportPolicy }: Place) => ({ iceTransportPolicy, ...(rtc ? { rtc } : {}) });
  let client: Client | undefined;
  let ended: Promise<void> | undefined;
  let leave = async (): Promise<void> => {};

  const prepare = () => {
    const server = createServer();
    ended = new Promise((resolve) => {
      server.server.onclose = resolve;
    });
    return server;
  };

  return {
    async serve(place) {
      if (place.offers === 'client') {
        const listener = await listen({ ...place, ...options(place) }, (transport) => prepare().connect(transport));
        leave = () => listener.close();
        return;
      }
      const connection = new RelayConnection(place, 'server');
      await connection.start();
      leave = () => connection.close();
      const server = prepare();
      const { iceServers } = connection;
      const offer = async () => {
        const { id } = await connection.anyPeer(AbortSignal.timeout(60_000));
        await server.connect(
          new WebRTCServerTransport({ signaling: connection.channel(id), iceServers, ...options(place) }),
        );
      };
      void offer();
    },
    async connect(place) {
      const started = performance.now();
      let transport: WebRTCClientTransport;
      leave = async () => {};
      if (place.offers === 'client') {
        transport = new WebRTCClientTransport({ ...place, ...options(place) });
      } else {
        const connection = new RelayConnection(place, 'client');
        const offered = new Promise<Signaling>((resolve) => {
          connection.onchannel = resolve;
        });
        await connection.start();
        leave = () => connection.close();
        const { iceServers } = connection;
        transport = new WebRTCClientTransport({ signaling: await offered, iceServers, ...options(place) });
      }
      ({ client } = await connectClient(transport));
      if (place.iceTransportPolicy === 'relay') {
        const { localCandidateType } = await transport.stats();
        if (localCandidateType !== 'relay') throw new Error(`the path is not through TURN but ${localCandidateType}`);
      }
      return Math.round(performance.now() - started);
    },
    exchange: () => exchange(client!),
    async close() {
      await client?.close();
      await leave();
    },
    async closed() {
      await ended;
      await leave();
    },
  };
}
