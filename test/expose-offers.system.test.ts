import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { RelayConnection } from 'mcp-rendezvous';
import { weriftEngine } from 'mcp-rendezvous/werift';
import { until } from '../sdk/test/cli/support/process.ts';
import { RelayProcess } from './support/relay.ts';
import { Room } from './support/room.ts';

let relay: RelayProcess;
before(async () => {
  relay = await RelayProcess.start();
});
after(() => relay?.stop());

test('a client has a server process when its channel is open, and for an offer alone there is none', async (t) => {
  const room = new Room(relay);
  const expose = await room.expose(t, undefined, '--debug');
  await expose.says(/sharing /);
  const answers = new Set<number>();
  for (const n of [1, 2, 3]) {
    const stranger = new RelayConnection({ relay: relay.ws, token: await room.token('client', `stranger ${n}`) });
    t.after(() => stranger.close());
    await stranger.start();
    const { id } = await stranger.anyPeer(AbortSignal.timeout(30_000));
    const connection = weriftEngine.createPeerConnection({ iceServers: [], iceTransportPolicy: 'all' });
    t.after(() => connection.close());
    connection.createDataChannel('mcp', { ordered: true });
    const { sdp = '' } = await connection.createOffer();
    const channel = stranger.channel(id);
    channel.onmessage = ({ kind }) => void (kind === 'answer' && answers.add(n));
    await channel.start();
    await channel.send({ kind: 'offer', gen: 1, sdp });
  }
  await until('an answer to each offer', () => answers.size === 3, 30_000);
  const client = await room.connect(t);
  assert.equal((await client.request('initialize')).error, undefined);
  assert.equal((await client.request('echo')).error, undefined);
  // The client's, and the one that is kept warm for the next client.
  assert.deepEqual(expose.stderr.match(/server \d+ is process/g), ['server 1 is process', 'server 2 is process']);
});
