import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { Coturn, credentials } from '../../../test/support/coturn.ts';
import { eventually } from '../../../test/support/wait.ts';
import type { RtcConfiguration } from '../../src/peer/engine.ts';
import { nodeDatachannelEngine } from '../../src/peer/node-datachannel.ts';
import { answeringStun } from '../../src/peer/node-datachannel/stun-choice.ts';
import { closing, connectPair, direct, gathered, receiving, within } from './pair.ts';
import { turnServer } from './turn.ts';

const patienceMs = 30_000;

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

  test('uses no TURN server, with which its library may stop the process', async (t) => {
    const coturn = await Coturn.start();
    t.after(() => coturn.stop());
    const connection = create(t, {
      iceServers: [{ urls: coturn.stun }, credentials([coturn.udp, coturn.tcp], 'agent-7')],
    });
    const types = new Set<string | undefined>();
    const errors: unknown[] = [];
    connection.onicecandidate = ({ candidate }) => types.add(/ typ (\w+)/.exec(candidate?.candidate ?? '')?.[1]);
    connection.onicecandidateerror = ({ url }) => errors.push(url);
    connection.createDataChannel('mcp');
    const { sdp = '' } = await connection.createOffer();
    await connection.setLocalDescription({ type: 'offer', sdp });
    await within(gathered(connection), 'the end of gathering', patienceMs);
    assert.doesNotMatch(connection.localDescription?.sdp ?? '', / typ relay/);
    assert(!types.has('relay'));
    assert(!errors.some((url) => String(url).startsWith('turn')));
    assert.equal((await nodeDatachannelEngine.forTurn?.())?.name, 'werift');
  });

  test('uses a STUN server that answers where others of the list do not', async (t) => {
    const coturn = await Coturn.start();
    t.after(() => coturn.stop());
    const iceServers = [{ urls: ['stun:127.0.0.1:9', 'stun:nobody.invalid', coturn.stun] }];
    const configuration = { iceServers, iceTransportPolicy: 'all' } as const;
    // A busy machine may be late: then the next connection asks again.
    await eventually(async () => {
      await nodeDatachannelEngine.prepare?.(configuration);
      return answeringStun(iceServers.flatMap(({ urls }) => urls.map((url) => ({ urls: url }))))?.urls === coturn.stun;
    });
    const connection = create(t, configuration);
    const errors: unknown[] = [];
    connection.onicecandidateerror = ({ url }) => errors.push(url);
    connection.createDataChannel('mcp');
    const { sdp = '' } = await connection.createOffer();
    await connection.setLocalDescription({ type: 'offer', sdp });
    await within(gathered(connection), 'the end of gathering', patienceMs);
    // Its public address is one of its own here, so that there is no further candidate.
    assert.deepEqual(
      errors.filter((url) => url !== coturn.stun),
      [],
    );
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
