import assert from 'node:assert/strict';
import { after, before, test, type TestContext } from 'node:test';
import { listen, type RelayChannel, RelayConnection, WebRTCServerTransport } from 'mcp-rendezvous';
import { weriftEngine } from 'mcp-rendezvous/werift';
import { testToken } from '../../../server/test/support/peer.ts';
import { RelayProcess } from '../../../test/support/relay.ts';
import { eventually, within } from '../../../test/support/wait.ts';
import { encodeClose } from '../../src/link/frame.ts';
import { PeerNegotiation } from '../../src/peer/negotiation.ts';
import type { SignalMessage } from '../../src/signaling/signaling.ts';

// A client, not this SDK's, that makes another offer under the same id at the relay, on the same
// channel (PROTOCOL.md §6).

let relay: RelayProcess;
before(async () => {
  relay = await RelayProcess.start();
});
after(() => relay.stop());

async function clientOf(t: TestContext, room: string): Promise<RelayChannel> {
  const connection = new RelayConnection({ relay: relay.ws, token: await testToken({ room, role: 'client' }) });
  t.after(() => connection.close());
  await connection.start();
  const server = await connection.anyPeer(AbortSignal.timeout(60_000));
  return connection.channel(server.id);
}

/** An offer that leads to nothing; resolves with the answer. */
async function vain(channel: RelayChannel, gen: number): Promise<SignalMessage> {
  const answer = new Promise<SignalMessage>((resolve) => (channel.onmessage = resolve));
  if (gen === 1) await channel.start();
  const sdp = 'v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 RTP 0\r\n';
  await channel.send({ kind: 'offer', gen, sdp });
  return await within(answer, `an answer to offer ${gen}`);
}

/** A good one. */
async function offer(t: TestContext, signaling: RelayChannel, gen: number) {
  const negotiation = new PeerNegotiation({
    signaling,
    started: { gen: gen - 1 },
    offerer: true,
    engine: weriftEngine,
    iceServers: () => [],
    iceTransportPolicy: () => 'all',
    trickle: true,
  });
  const peer = await negotiation.run(AbortSignal.timeout(60_000));
  t.after(() => peer.connection.close());
  return peer;
}

test('a listener takes the offer that follows a refused one, one that failed, and a session that has ended', async (t) => {
  const room = 'again and again';
  let asked = 0;
  const listener = await listen(
    { relay: relay.ws, token: await testToken({ room, role: 'server' }), authorize: () => ++asked > 1 },
    (transport) => transport.start(),
  );
  t.after(() => listener.close());
  const errors: string[] = [];
  listener.onerror = ({ code }) => errors.push(code);
  const channel = await clientOf(t, room);
  const refusal = await vain(channel, 1);
  assert.deepEqual([refusal.kind, refusal.gen, 'code' in refusal && refusal.code], ['bye', 1, 'refused']);
  const failure = await vain(channel, 2);
  assert.deepEqual([failure.kind, failure.gen, 'code' in failure && failure.code], ['bye', 2, 'failed']);
  const first = await offer(t, channel, 3);
  first.channel.send(encodeClose(0));
  await eventually(() => errors.length === 2, 60_000);
  await offer(t, channel, 4);
  assert.equal(asked, 4);
});

test('a server transport takes the offer that follows one that failed', async (t) => {
  const room = 'again';
  const server = new WebRTCServerTransport({ relay: relay.ws, token: await testToken({ room, role: 'server' }) });
  t.after(() => server.close());
  const started = server.start().catch(() => {}); // its client says no HELLO
  const channel = await clientOf(t, room);
  assert.equal((await vain(channel, 1)).kind, 'bye');
  await offer(t, channel, 2);
  await server.close();
  await started;
});
