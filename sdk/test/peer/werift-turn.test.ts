import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { suite, test, type TestContext } from 'node:test';
import { setInterval } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import type { IceServer } from 'mcp-rendezvous-protocol';
import { createCertificate } from '../../../test/support/certificate.ts';
import { Coturn, type CoturnOptions, credentials } from '../../../test/support/coturn.ts';
import { TurnUser } from '../../../test/support/turn-user.ts';
import { eventually } from '../../../test/support/wait.ts';
import type { RtcConfiguration } from '../../src/peer/engine.ts';
import { readStats } from '../../src/peer/stats.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import { closePair, gathered, negotiate, type Pair, pairUp, receiving, within } from './pair.ts';
import { OwnTime } from '../../../test/support/own-time.ts';

async function startCoturn(t: TestContext, options: CoturnOptions): Promise<Coturn> {
  const coturn = await Coturn.start(options);
  t.after(() => coturn.stop());
  return coturn;
}

/** How many allocations the server still has for that user. */
async function roomLeft(coturn: Coturn): Promise<number> {
  const users: TurnUser[] = [];
  try {
    while (true) {
      const user = await TurnUser.connect(credentials(coturn.tcp, 'ada'), coturn.port);
      users.push(user);
      const error = await user.allocate();
      if (error === undefined) continue;
      assert.equal(error, 486);
      return users.length - 1;
    }
  } finally {
    for (const user of users) user.close();
  }
}

/** As many as our own TURN server's configuration allows. */
const quota = 12;

const through = (server: IceServer): RtcConfiguration => ({ iceServers: [server], iceTransportPolicy: 'relay' });

suite('TURN sessions of the werift engine', () => {
  // They wait.
  suite('live on when their nonce and their allocation have ended', { concurrency: 2 }, () => {
    for (const way of ['udp', 'tcp'] as const) {
      test(`over ${way}`, async (t) => {
        // The allocation has to be refreshed after 17 s, with a nonce that is stale. A busy machine
        // may take the rest of its life for that.
        const coturn = await startCoturn(t, { args: ['--stale-nonce=2', '--max-allocate-lifetime=20'] });
        const configuration = through(credentials(coturn[way], 'ada'));
        const { near, far } = await pairUp(t, {
          offerer: weriftEngine.createPeerConnection(configuration),
          answerer: weriftEngine.createPeerConnection(configuration),
        });
        const count = 24;
        const messages = receiving(far, count);
        let sent = 0;
        for await (const _ of setInterval(1_000)) {
          near.send(`${sent++}`);
          if (sent === count) break;
        }
        const expected = Array.from({ length: count }, (_, index) => `${index}`);
        assert.deepEqual(await within(messages, 'the messages'), expected);
      });
    }
  });

  test('give back their allocations when they are closed, retired ones of a restart too', async (t) => {
    const coturn = await startCoturn(t, { args: [`--user-quota=${quota}`, '--stale-nonce=1'] });
    const configuration = through(credentials(coturn.udp, 'ada'));
    for (const restarts of [0, 1, 2]) {
      const offerer = weriftEngine.createPeerConnection(configuration);
      const answerer = weriftEngine.createPeerConnection(configuration);
      await pairUp(t, { offerer, answerer });
      for (let count = 0; count < restarts; count++) {
        await negotiate(offerer, answerer, { iceRestart: true });
        await eventually(() => [offerer, answerer].every(({ connectionState }) => connectionState === 'connected'));
      }
      await closePair({ offerer, answerer });
      // coturn looks once a second for what has ended.
      await eventually(async () => (await roomLeft(coturn)) === quota);
    }
  });

  test('that are direct leave the server to others, while they stand', async (t) => {
    const coturn = await startCoturn(t, { args: [`--user-quota=${quota}`] });
    const configuration: RtcConfiguration = { iceServers: [credentials(coturn.udp, 'ada')], iceTransportPolicy: 'all' };
    const pairs: Pair[] = [];
    for (let session = 0; session < 50; session++) {
      const offerer = weriftEngine.createPeerConnection(configuration);
      pairs.push(await pairUp(t, { offerer, answerer: weriftEngine.createPeerConnection(configuration) }));
    }
    await eventually(async () => (await roomLeft(coturn)) === quota);
    for (const { offerer, near, far } of pairs) {
      assert.equal((await readStats(offerer)).localCandidateType, 'host');
      const message = receiving(far);
      near.send('hello');
      assert.deepEqual(await within(message, 'a message'), ['hello']);
    }
    const relayed = through(credentials(coturn.udp, 'ada'));
    const { offerer } = await pairUp(t, {
      offerer: weriftEngine.createPeerConnection(relayed),
      answerer: weriftEngine.createPeerConnection(relayed),
    });
    assert.equal((await readStats(offerer)).localCandidateType, 'relay');
  });
});

suite('several TURN servers of the werift engine', () => {
  /** Servers that take what comes and say nothing. */
  async function silent(t: TestContext): Promise<{ udp: string; tcp: string; tls: string }> {
    const socket = createSocket('udp4').bind(0, '127.0.0.1');
    const listener = createServer(() => {}).listen(0, '127.0.0.1');
    const sockets = new Set<Socket>();
    listener.on('connection', (one) => sockets.add(one.on('error', () => {})));
    t.after(() => {
      socket.close();
      listener.close();
      for (const one of sockets) one.destroy();
    });
    await Promise.all([once(socket, 'listening'), once(listener, 'listening')]);
    const { port } = listener.address() as { port: number };
    return {
      udp: `turn:127.0.0.1:${socket.address().port}?transport=udp`,
      tcp: `turn:127.0.0.1:${port}?transport=tcp`,
      tls: `turns:127.0.0.1:${port}?transport=tcp`,
    };
  }

  const lists: [name: string, list: (dead: { udp: string; tcp: string; tls: string }, alive: Coturn) => string[]][] = [
    ['the second one over UDP', (dead, alive) => [dead.udp, alive.udp]],
    ['the third one over UDP', (dead, alive) => [dead.udp, dead.udp, alive.udp]],
    ['the second one over TCP', (dead, alive) => [dead.tcp, alive.tcp]],
    ['the last of all', (dead, alive) => [dead.tls, dead.tcp, dead.udp, alive.tcp]],
  ];
  for (const [name, list] of lists) {
    test(`${name} is used where the others are dead`, async (t) => {
      const [dead, coturn] = await Promise.all([silent(t), startCoturn(t, {})]);
      const configuration = through(credentials(list(dead, coturn), 'ada'));
      const offerer = weriftEngine.createPeerConnection(configuration);
      const answerer = weriftEngine.createPeerConnection(configuration);
      const clock = new OwnTime(t);
      const { near, far } = await pairUp(t, { offerer, answerer });
      await within(Promise.all([gathered(offerer), gathered(answerer)]), 'the end of gathering');
      assert(clock.ms < 7_000);
      const message = receiving(far);
      near.send('hello');
      assert.deepEqual(await within(message, 'a message'), ['hello']);
    });
  }

  test('are told apart by why they gave nothing, and the next one is asked at once', async (t) => {
    const [dead, full] = await Promise.all([silent(t), startCoturn(t, { args: ['--user-quota=1'] })]);
    const taken = await TurnUser.connect(credentials(full.tcp, 'ada'), full.port);
    t.after(() => taken.close());
    assert.equal(await taken.allocate(), undefined);
    const right = credentials([full.udp, dead.tcp], 'ada');
    const wrong = { ...credentials(full.tcp, 'bob'), credential: 'wrong' };
    const offerer = weriftEngine.createPeerConnection({ iceServers: [right, wrong], iceTransportPolicy: 'relay' });
    t.after(() => offerer.close());
    const told = new Map<string, number>();
    offerer.onicecandidateerror = ({ url, errorCode }) => told.set(url, errorCode);
    offerer.createDataChannel('mcp');
    const { sdp = '' } = await offerer.createOffer();
    await offerer.setLocalDescription({ type: 'offer', sdp });
    await within(gathered(offerer), 'the end of gathering');
    assert.deepEqual(Object.fromEntries(told), { [full.udp]: 486, [dead.tcp]: 701, [full.tcp]: 401 });
  });
});

test('TURN over TLS names the server that it asks for, by which port 443 may be shared (werift)', async (t) => {
  const certificate = await createCertificate('DNS:localhost');
  t.after(() => certificate.remove());
  const asked = Promise.withResolvers<string>();
  const server = createTlsServer({
    cert: certificate.cert,
    key: certificate.key,
    SNICallback: (name, done) => {
      asked.resolve(name);
      done(null);
    },
  });
  server.listen(0, 'localhost');
  t.after(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const url = `turns:localhost:${port}?transport=tcp`;
  const offerer = weriftEngine.createPeerConnection(through(credentials(url, 'ada')));
  t.after(() => offerer.close());
  offerer.createDataChannel('mcp');
  const { sdp = '' } = await offerer.createOffer();
  await offerer.setLocalDescription({ type: 'offer', sdp });
  assert.equal(await within(asked.promise, 'the name of the server'), 'localhost');
});
