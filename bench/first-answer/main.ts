import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { listen, WebRTCClientTransport } from 'mcp-rendezvous';
import { createRoomToken } from 'mcp-rendezvous/token';
import { WebSocket, WebSocketServer } from 'ws';
import { RelayProcess, testSecret } from '../../test/support/relay.ts';
import { within } from '../../test/support/wait.ts';
import { figure, type Line, table, withSpread } from '../lib/report.ts';
import { type Sample, sample } from '../lib/stats.ts';
import { startDelay } from './delay.ts';

/** What the first answer of a session takes where each peer is so far from the relay. */
export interface FirstAnswer {
  /** The round trip between each peer and the relay, in milliseconds. */
  roundTripMs: number;
  /** From `start()` to the response to `initialize`, in milliseconds. */
  answerMs: Sample;
  /** Of bare WebSockets in the same run: until one is open, and a round trip between two. */
  openMs: Sample;
  betweenMs: Sample;
}

/** What everything else may take: offers, handshakes, a busy event loop. */
const ownMs = 50;
const warmUps = 3;

/**
 * Peers and the server of both contenders are in this process, which is warm; the relay is a
 * process of its own. By turns, so that each meets the same neighbours.
 */
export async function measureFirstAnswers(runs: number): Promise<FirstAnswer[]> {
  const results: FirstAnswer[] = [];
  for (const roundTripMs of [0, 100]) {
    await using stack = new AsyncDisposableStack();
    const relay = await RelayProcess.start();
    stack.defer(() => relay.stop());
    const forwarder = await startForwarder();
    stack.defer(() => forwarder.stop());
    const ways = [];
    for (const port of [Number(new URL(relay.url).port), forwarder.port]) {
      const way = await startDelay(port, roundTripMs / 2);
      stack.defer(() => way.stop());
      ways.push(`ws://127.0.0.1:${way.port}`);
    }
    const [toRelay = '', toForwarder = ''] = ways;
    const room = `first answer ${roundTripMs}`;
    const token = (role: 'server' | 'client') =>
      createRoomToken({ key: testSecret, room, role, subject: role, ttl: 3_600 });
    const listener = await listen({ relay: toRelay, token: await token('server') }, async (transport) => {
      transport.onmessage = (message) => {
        if ('id' in message) void transport.send({ jsonrpc: '2.0', id: message.id!, result: {} });
      };
      await transport.start();
    });
    stack.defer(() => listener.close());
    const clientToken = await token('client');
    const [answers, opens, betweens]: number[][] = [[], [], []];
    for (let run = -warmUps; run < runs; run++) {
      const answer = await firstAnswer(toRelay, clientToken);
      const { open, between } = await bare(toForwarder);
      if (run < 0) continue;
      answers!.push(answer);
      opens!.push(open);
      betweens!.push(between);
    }
    results.push({
      roundTripMs,
      answerMs: sample(answers!),
      openMs: sample(opens!),
      betweenMs: sample(betweens!),
    });
  }
  return results;
}

async function firstAnswer(relay: string, token: string): Promise<number> {
  const transport = new WebRTCClientTransport({ relay, token });
  const answered = new Promise<void>((resolve) => (transport.onmessage = () => resolve()));
  const started = performance.now();
  await transport.start();
  await transport.send({ jsonrpc: '2.0', id: 1, method: 'initialize', params: {} });
  await within(answered, 'the response to initialize');
  const took = performance.now() - started;
  await transport.close();
  return took;
}

/** Two bare WebSockets, and a text that goes from one to the other and back. */
async function bare(url: string): Promise<{ open: number; between: number }> {
  const far = new WebSocket(url);
  await once(far, 'open');
  far.on('message', (data) => far.send(data));
  const started = performance.now();
  const near = new WebSocket(url);
  await once(near, 'open');
  const open = performance.now() - started;
  near.send('there and back');
  await once(near, 'message');
  const between = performance.now() - started - open;
  near.close();
  far.close();
  return { open, between };
}

/** Forwards what a socket sends to the one that came before or after it. */
async function startForwarder(): Promise<{ port: number; stop: () => void }> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  let waiting: WebSocket | undefined;
  server.on('connection', (socket) => {
    const other = waiting;
    waiting = other ? undefined : socket;
    if (!other) return;
    socket.on('message', (data, isBinary) => other.send(data, { binary: isBinary }));
    other.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  const stop = (): void => {
    for (const client of server.clients) client.terminate();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, stop };
}

const allowed = ({ openMs, betweenMs }: FirstAnswer): number => openMs.median + 2 * betweenMs.median + ownMs;

export const firstAnswerTable = (all: readonly FirstAnswer[]): string =>
  table(
    ['round trip to the relay', 'first answer', 'a WebSocket opens', 'between the peers', 'allowed'],
    all.map((row) => [
      `${row.roundTripMs} ms`,
      withSpread(row.answerMs, 'ms'),
      withSpread(row.openMs, 'ms'),
      withSpread(row.betweenMs, 'ms'),
      figure(allowed(row), 'ms'),
    ]),
  );

export const firstAnswerLines = (all: readonly FirstAnswer[]): Line[] =>
  all.map((row) => ({
    what: `first answer at ${row.roundTripMs} ms to the relay: opening + 2 round trips + ${ownMs} ms`,
    measured: row.answerMs.median,
    atMost: allowed(row),
  }));
