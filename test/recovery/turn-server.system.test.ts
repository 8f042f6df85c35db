import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test, type TestContext } from 'node:test';
import { listen, type Path, WebRTCClientTransport, type WebRTCTransport } from 'mcp-rendezvous';
import { weriftEngine } from '../../sdk/src/peer/werift.ts';
import { testToken } from '../../server/test/support/peer.ts';
import { Coturn, turnSecret } from '../support/coturn.ts';
import { RelayProcess } from '../support/relay.ts';
import { eventually, within } from '../support/wait.ts';
import { OwnTime } from '../support/own-time.ts';

const sessions = 3;

/** One end, which sends numbers all the time, and what it has received. */
class End {
  readonly received: number[] = [];
  readonly paths: Path[] = [];
  readonly transport: WebRTCTransport;
  longestPauseMs = 0;
  sent = 0;
  #heardAt = 0;

  constructor(transport: WebRTCTransport, clock: OwnTime) {
    this.transport = transport;
    transport.onpathchange = (path) => this.paths.push(path);
    transport.onmessage = (message) => {
      const now = clock.ms;
      if (this.#heardAt > 0) this.longestPauseMs = Math.max(this.longestPauseMs, now - this.#heardAt);
      this.#heardAt = now;
      this.received.push((message as unknown as { params: { n: number } }).params.n);
    };
  }

  async sendUntil(over: AbortSignal): Promise<void> {
    while (!over.aborted) {
      await this.transport.send({ jsonrpc: '2.0', method: 'notifications/number', params: { n: ++this.sent } });
      await sleep(20);
    }
  }
}

/** Clients of one server, which have no path but these. */
async function meet(t: TestContext, coturn: Coturn, paths: Path[]): Promise<[client: End, server: End][]> {
  const relay = await RelayProcess.start({ TURN_URLS: coturn.udp, TURN_SECRET: turnSecret });
  t.after(() => relay.stop());
  const options = { relay: relay.ws, rtc: weriftEngine, paths };
  const clock = new OwnTime(t);
  const servers = new Map<string, PromiseWithResolvers<End>>();
  const listener = await listen(
    { ...options, token: await testToken({ room: 'r', role: 'server' }) },
    async (transport, { subject }) => {
      const end = new End(transport, clock);
      await transport.start();
      servers.get(subject)?.resolve(end);
    },
  );
  t.after(() => listener.close());
  return await Promise.all(
    Array.from({ length: sessions }, async (_, n): Promise<[End, End]> => {
      const subject = `client ${n}`;
      const arrived = Promise.withResolvers<End>();
      servers.set(subject, arrived);
      const token = await testToken({ room: 'r', role: 'client', subject });
      const client = new End(new WebRTCClientTransport({ ...options, token }), clock);
      t.after(() => client.transport.close());
      await client.transport.start();
      return [client, await within(arrived.promise, 'the server has its client')];
    }),
  );
}

/** Kills the TURN server under traffic and starts it again, twice; returns all ends. */
async function comeAndGo(
  coturn: Coturn,
  pairs: [End, End][],
  away: () => Promise<unknown>,
  back: () => Promise<unknown>,
): Promise<End[]> {
  const ends = pairs.flat();
  const over = new AbortController();
  const sending = Promise.all(ends.map((end) => end.sendUntil(over.signal)));
  await back();
  for (let round = 0; round < 2; round++) {
    await coturn.kill();
    await away();
    await coturn.begin();
    await back();
  }
  over.abort();
  await within(sending, 'everything is sent', 30_000);
  for (const [client, server] of pairs) {
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      await eventually(() => to.received.length >= from.sent, 30_000, 'everything has come');
      assert.deepEqual(
        to.received,
        Array.from({ length: from.sent }, (_, n) => n + 1),
        'each once, and in order',
      );
    }
  }
  return ends;
}

const all = (ends: End[], path: Path): boolean => ends.every(({ transport }) => transport.path === path);

test('the TURN server dies and comes back, twice: sessions go on relayed, and return to it', async (t) => {
  const coturn = await Coturn.start();
  t.after(() => coturn.stop());
  const pairs = await meet(t, coturn, ['turn', 'relayed']);
  const away = () => eventually(() => all(pairs.flat(), 'relayed'), 30_000, 'all are relayed');
  const back = () => eventually(() => all(pairs.flat(), 'turn'), 60_000, 'all use TURN again');
  const ends = await comeAndGo(coturn, pairs, away, back);
  const pause = Math.max(...ends.map(({ longestPauseMs }) => longestPauseMs));
  t.diagnostic(`the longest pause was ${Math.round(pause)} ms`);
  assert.ok(pause < 6_000, `${Math.round(pause)} ms without a message`);
});

test('the same where TURN is the only path: sessions wait for it', async (t) => {
  const coturn = await Coturn.start();
  t.after(() => coturn.stop());
  const pairs = await meet(t, coturn, ['turn']);
  const lost = () => eventually(() => pairs.flat().every(({ transport }) => transport.state !== 'connected'));
  const back = () => eventually(() => pairs.flat().every(({ transport }) => transport.state === 'connected'), 40_000);
  await comeAndGo(coturn, pairs, lost, back);
});
