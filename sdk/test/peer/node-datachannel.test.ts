import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import type { RtcConfiguration } from '../../src/peer/engine.ts';
import { nodeDatachannelEngine } from '../../src/peer/node-datachannel.ts';
import { closing, connectPair, direct, receiving, within } from './pair.ts';
import { turnServer } from './turn.ts';

const patienceMs = 20_000;

function create(t: TestContext, configuration: Partial<RtcConfiguration> = {}) {
  const connection = nodeDatachannelEngine.createPeerConnection({ ...direct, ...configuration });
  t.after(() => connection.close());
  return connection;
}

suite('the node-datachannel engine', () => {
  test('refuses the policy relay, which it would not keep to', async (t) => {
    const { iceServer } = await turnServer();
    assert.throws(() => create(t, { iceServers: [iceServer], iceTransportPolicy: 'relay' }), { code: 'bad_option' });
  });

  test('asks a TURN server with the credentials as they are, colons included', async (t) => {
    const server = await turnServer('1790000000:agent-7');
    const connection = create(t, { iceServers: [server.iceServer, { ...server.iceServer, urls: 'turns:127.0.0.1' }] });
    const relayed = new Promise<string>((resolve) => {
      connection.onicecandidate = ({ candidate }) => {
        if (candidate?.candidate.includes(' typ relay')) resolve(candidate.candidate);
      };
    });
    connection.createDataChannel('mcp');
    const { sdp = '' } = await connection.createOffer();
    await connection.setLocalDescription({ type: 'offer', sdp });
    await within(server.asked, 'the request with credentials', patienceMs);
    server.answer();
    assert.match(await within(relayed, 'the relay candidate', patienceMs), / 127\.0\.0\.1 40000 typ relay/);
  });

  test('reports a server that gives nothing', async (t) => {
    const url = 'stun:127.0.0.1:9';
    const connection = create(t, { iceServers: [{ urls: url }] });
    const reported = new Promise<unknown>((resolve) => {
      connection.onicecandidateerror = (event) => resolve([event.errorCode, event.url]);
    });
    connection.createDataChannel('mcp');
    const { sdp = '' } = await connection.createOffer();
    await connection.setLocalDescription({ type: 'offer', sdp });
    assert.deepEqual(await within(reported, 'the report', 60_000), [701, url]);
  });

  test('says what it cannot do, where the binding would end the process', async (t) => {
    const connection = create(t);
    await assert.rejects(connection.createOffer(), { name: 'InvalidStateError' });
    await assert.rejects(connection.createAnswer(), { name: 'InvalidStateError' });
    await assert.rejects(connection.createOffer({ iceRestart: true }), { name: 'NotSupportedError' });
    await assert.rejects(connection.setLocalDescription({ type: 'offer', sdp: 'v=0' }), { name: 'InvalidStateError' });
  });

  test('tells its own addresses when it has the answer, so that it is the first to reach out', async (t) => {
    const offerer = create(t);
    const answerer = create(t);
    let early = 0;
    const { near, far } = await connectPair({
      offerer,
      answerer,
      tellOfferer: async (answer) => {
        const counting = offerer.onicecandidate;
        offerer.onicecandidate = (event) => {
          early++;
          counting?.(event);
        };
        while (offerer.iceGatheringState !== 'complete') await new Promise((resolve) => setImmediate(resolve));
        assert.equal(early, 0);
        return answer;
      },
    });
    const heard = receiving(far);
    near.send('hello');
    assert.deepEqual(await within(heard, 'a message', patienceMs), ['hello']);
  });

  test('delivers hundreds of messages before the end', async (t) => {
    const { offerer, near, far } = await connectPair({ offerer: create(t), answerer: create(t) });
    const received: unknown[] = [];
    far.onmessage = ({ data }) => received.push(data);
    const closed = closing(far);
    for (let n = 0; n < 900; n++) near.send(String(n));
    await offerer.close();
    await within(closed, 'the end', patienceMs);
    assert.deepEqual(
      received,
      Array.from({ length: 900 }, (_, n) => String(n)),
    );
  });
});
