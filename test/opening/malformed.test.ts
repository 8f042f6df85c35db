import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listen } from 'mcp-rendezvous';
import { startApp } from '../../server/test/support/app.ts';
import { RawPeer, testToken } from '../../server/test/support/peer.ts';
import { weriftEngine } from '../../sdk/src/peer/werift.ts';
import { withFraming } from '../../sdk/src/peer/framing.ts';
import { eventually } from '../support/wait.ts';

// What a client may say while its session waits for it to come back.

/** A first message of the relayed path's handshake: the public key of whom does not matter. */
const noise = Buffer.from('07a37cbc142093c8b755dc1b10e86cb426374ad16aa853ed0bdfc0b2b86d1c7c', 'hex').toString(
  'base64url',
);

test('a malformed offer to a session that waits for its client ends that session, and nothing else', async (t) => {
  const { url } = await startApp(t);
  const room = 'malformed';
  const failures: string[] = [];
  let kept = 0;
  const options = {
    relay: url.replace('http', 'ws'),
    token: await testToken({ room, role: 'server' }),
    rtc: weriftEngine,
  };
  const listener = await listen(options, async (transport) => {
    kept++;
    transport.onclose = () => kept--;
    await transport.start();
  });
  listener.onerror = ({ code }) => failures.push(code);
  t.after(() => listener.close());
  const client = await RawPeer.join(url, testToken({ room, role: 'client' }));
  t.after(() => client.socket.terminate());
  const [server] = client.joined.peers;
  assert(server);
  const connection = weriftEngine.createPeerConnection({ iceServers: [], iceTransportPolicy: 'all' });
  t.after(() => connection.close());
  connection.createDataChannel('mcp', { ordered: true });
  const { sdp = '' } = await connection.createOffer();
  let seq = 0;
  const say = (data: Record<string, unknown>): void => {
    seq++;
    client.send({ type: 'signal', id: String(seq), to: server.id, data: { ...data, seq, ack: seq } });
  };
  const offered = withFraming(sdp, { versions: ['1'], restart: false });
  say({ kind: 'offer', gen: 1, body: { sdp: offered, noise } });
  await eventually(() => kept === 1);
  await eventually(() => client.frames.some((frame) => JSON.stringify(frame).includes('"path"')), undefined, 'path');
  // The client gives up its first connection, as one does that makes another.
  say({ kind: 'bye', gen: 1, body: { code: 'closed', message: 'aborted' } });
  say({ kind: 'offer', gen: 2, body: { sdp: 'v=0\r\nnothing of it' } });
  await eventually(() => kept === 0, undefined, 'the session ends');
  await eventually(() => failures.length > 0);
  assert.deepEqual([failures, listener.state], [['bad_signal'], 'joined']);
});
