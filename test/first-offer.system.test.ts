import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { suite, test, type TestContext } from 'node:test';
import {
  type ConnectOptions,
  listen,
  type ListenOptions,
  type RelayOptions,
  WebRTCClientTransport,
} from 'mcp-rendezvous';
import { wrtcEngine } from 'mcp-rendezvous/wrtc';
import { type FrameToRelay, type PeerData, peerData } from 'mcp-rendezvous-protocol';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import type { WebSocket } from 'ws';
import { engineNames, engines } from './support/engines.ts';
import { claims, joined, otherRelay, send } from './support/other-relay.ts';
import { RelayProcess, testSecret } from './support/relay.ts';
import { eventually, within } from './support/wait.ts';

const patienceMs = 30_000;

const token = (role: 'server' | 'client', subject: string = role) =>
  createRoomToken({ key: testSecret, room: 'first', role, subject, ttl: '1h' });

/** An offer that a client made, and how it travelled. */
interface Offered {
  way: 'join' | 'signal';
  id: string;
  seq: number | undefined;
  sdp: string;
}

/**
 * A relay of another make, which answers its n-th join as the test says, and the offers that come
 * to it.
 */
async function relayOf(t: TestContext, onjoin: (socket: WebSocket, n: number, signal: string | undefined) => void) {
  const offers: Offered[] = [];
  const offered = (way: Offered['way'], id: string, data: PeerData) => {
    if (data.kind === 'offer') offers.push({ way, id, seq: data.seq, sdp: data.body.sdp });
  };
  const relay = await otherRelay(t, (socket, n, { signal }) => {
    if (signal) offered('join', signal.id, peerData.parse(signal.data));
    socket.on('message', (text: Buffer) => {
      const frame = JSON.parse(text.toString()) as FrameToRelay;
      if (frame.type === 'signal') offered('signal', frame.id, peerData.parse(frame.data));
    });
    onjoin(socket, n, signal?.id);
  });
  return { relay, offers };
}

/** A client that tries until the test is over. */
function trying(t: TestContext, relay: string, options: Partial<ConnectOptions & RelayOptions> = {}): Promise<void> {
  const transport = new WebRTCClientTransport({
    relay,
    token: () => token('client'),
    rtc: wrtcEngine,
    connectTimeoutMs: patienceMs,
    ...options,
  });
  t.after(() => transport.close());
  const started = transport.start();
  started.catch(() => {}); // no server ever answers; the tests look at what the client does
  return started;
}

/**
 * The SDP of the first offer, which travels inside of the join, and of the second one, by itself
 * and as the first signal, too.
 */
async function bothWays(offers: readonly Offered[]): Promise<[string | undefined, string | undefined]> {
  await eventually(() => offers.length > 1, patienceMs);
  const [ahead, alone] = offers;
  assert.deepEqual([ahead?.way, ahead?.seq, alone?.way, alone?.seq], ['join', 1, 'signal', 1]);
  return [ahead?.sdp, alone?.sdp];
}

// Side by side, as they wait; each has a relay of its own.
suite('the offer inside of the join, towards relays that do as they like', { concurrency: true }, () => {
  test('travels there once, when the room has a server', async (t) => {
    const acknowledged = Promise.withResolvers<void>();
    const { relay, offers } = await relayOf(t, (socket) => {
      send(socket, joined('client', 's-1'));
      send(socket, { type: 'signal', from: 's-1', data: { kind: 'ack', ack: 1 } });
      // What comes behind a ping has been seen by who answers it.
      socket.ping();
      socket.once('pong', () => acknowledged.resolve());
    });
    void trying(t, relay);
    await within(acknowledged.promise, 'an answer', patienceMs);
    assert.deepEqual(
      offers.map(({ way, seq }) => [way, seq]),
      [['join', 1]],
    );
  });

  test('is not what the server gets that comes later', async (t) => {
    const { relay, offers } = await relayOf(t, (socket, _n, signal) => {
      send(socket, joined('client'));
      send(socket, { type: 'outcome', id: signal ?? '', code: 'absent' });
      send(socket, { type: 'peer', id: 's-1', state: 'online', claims: claims('s-1', 'server') });
    });
    void trying(t, relay);
    const [ahead, alone] = await bothWays(offers);
    assert.notEqual(ahead, alone);
  });

  test('is the same in a repeat, when the server came in the moment of the join', async (t) => {
    const { relay, offers } = await relayOf(t, (socket) => {
      send(socket, joined('client'));
      send(socket, { type: 'peer', id: 's-1', state: 'online', claims: claims('s-1', 'server') });
    });
    void trying(t, relay);
    const [ahead, alone] = await bothWays(offers);
    assert.equal(ahead, alone);
  });

  for (const [what, close] of [
    ['as a bad frame', 4400],
    ['as too large', 4403],
    ['as too large to be read', 1009],
  ] as const) {
    test(`travels by itself where the relay refuses it ${what}`, async (t) => {
      let joins = 0;
      const { relay, offers } = await relayOf(t, (socket, n, signal) => {
        joins = n;
        if (signal !== undefined) socket.close(close);
        else send(socket, joined('client', 's-1'));
      });
      void trying(t, relay);
      const [ahead, alone] = await bothWays(offers);
      assert.equal(joins, 2);
      assert.equal(ahead, alone);
    });
  }

  test('stays out of a join that would be too large with it', async (t) => {
    const { relay, offers } = await relayOf(t, (socket) => send(socket, joined('client', 's-1')));
    void trying(t, relay, { token: 'x'.repeat(65_300) });
    await eventually(() => offers.length > 0, patienceMs);
    assert.equal(offers[0]?.way, 'signal');
  });

  test('does not come again after the server has refused', async (t) => {
    const { relay, offers } = await relayOf(t, (socket) => {
      send(socket, joined('client', 's-1'));
      const body = { code: 'busy', message: 'one client only' };
      send(socket, { type: 'signal', from: 's-1', data: { kind: 'bye', gen: 1, seq: 1, ack: 1, body } });
    });
    await assert.rejects(trying(t, relay), { code: 'busy' });
    assert.equal(offers.length, 1);
  });
});

for (const name of engineNames) {
  suite(`the offer inside of the join, on ${name}`, { concurrency: 2 }, () => {
    const rtc = engines[name];

    async function room(t: TestContext) {
      const relay = await RelayProcess.start();
      t.after(() => relay.stop('SIGKILL'));
      const seen: string[] = [];
      const serve = async (subject: string, options: Partial<ListenOptions> = {}) => {
        const listener = await listen(
          { relay: relay.ws, token: await token('server', subject), rtc, ...options },
          async (transport, peer) => {
            seen.push(peer.subject);
            transport.onmessage = (message) => {
              if ('id' in message && 'method' in message)
                void transport.send({ jsonrpc: '2.0', id: message.id, result: { server: subject } });
            };
            await transport.start();
          },
        );
        t.after(() => listener.close());
        return listener;
      };
      const connect = async (subject: string, iceServers?: []) => {
        const transport = new WebRTCClientTransport({
          relay: relay.ws,
          token: await token('client', subject),
          rtc,
          ...(iceServers ? { iceServers } : {}),
          connectTimeoutMs: patienceMs,
        });
        t.after(() => transport.close());
        const answered = new Promise<unknown>((resolve) => {
          transport.onmessage = resolve;
        });
        await transport.start();
        await transport.send({ jsonrpc: '2.0', id: 1, method: 'ping' });
        return within(answered, 'an answer', patienceMs);
      };
      return { serve, connect, seen };
    }
    const answer = (server: string) => ({ jsonrpc: '2.0', id: 1, result: { server } });

    test('one session for each client, with and without ICE servers of its own', async (t) => {
      const { serve, connect, seen } = await room(t);
      await serve('one');
      assert.deepEqual(await connect('a', []), answer('one'));
      assert.deepEqual(await connect('b'), answer('one'));
      assert.deepEqual(seen, ['a', 'b']);
    });

    test('the ICE servers that the relay names are asked', async (t) => {
      const stun = createSocket('udp4').bind(0, '127.0.0.1');
      t.after(() => stun.close());
      await once(stun, 'listening');
      const asked = once(stun, 'message');
      const iceServers = [{ urls: `stun:127.0.0.1:${stun.address().port}` }];
      const { relay } = await relayOf(t, (socket) => {
        send(socket, { ...joined('client', 's-1'), iceServers });
      });
      void trying(t, relay, { rtc });
      await within(asked, 'a question to the STUN server', patienceMs);
    });

    test('a client that comes before the server waits for it', async (t) => {
      const { serve, connect, seen } = await room(t);
      const answered = connect('a', []);
      const early = connect('b');
      await serve('one');
      assert.deepEqual(await Promise.all([answered, early]), [answer('one'), answer('one')]);
      assert.deepEqual(seen.toSorted(), ['a', 'b']);
    });

    test('a server that refuses the first client takes the next one', async (t) => {
      const { serve, connect } = await room(t);
      await serve('one', { authorize: ({ subject }) => subject !== 'a' });
      await assert.rejects(connect('a', []), { code: 'peer_refused' });
      assert.deepEqual(await connect('b', []), answer('one'));
    });
  });
}
