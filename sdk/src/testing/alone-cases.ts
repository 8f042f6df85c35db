import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import type { RtcConfiguration } from '../peer/engine.ts';
import { type ContractCase, contractCase } from './case.ts';
import type { Engines } from './engines.ts';
import { arriving, connectPair, receiving } from './rtc-pair.ts';

export function aloneCases({ offering: engine, create, soon }: Engines): ContractCase[] {
  return [
    contractCase('it refuses what it cannot make sense of, and goes on', async (scope) => {
      const { offerer, answerer } = create(scope);
      const line = { candidate: 'candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host', sdpMid: '0' };
      await assert.rejects(offerer.addIceCandidate(line), { name: 'InvalidStateError' });
      await assert.rejects(answerer.setRemoteDescription({ type: 'offer', sdp: 'nonsense' }));
      await assert.rejects(answerer.createAnswer());
      const { near, far } = await soon(connectPair({ offerer, answerer }), 'the channel');
      await assert.rejects(offerer.setRemoteDescription({ type: 'answer', sdp: 'nonsense' }));
      await assert.rejects(offerer.addIceCandidate({ candidate: 'nonsense', sdpMid: '0' }));
      await offerer.addIceCandidate(line);
      await offerer.addIceCandidate({ candidate: '', sdpMid: '0' });
      const message = receiving(far);
      near.send('still here');
      assert.deepEqual(await soon(message, 'a message'), ['still here']);
    }),

    contractCase('it does not go to a name that the other side likes', async (scope) => {
      const socket = createSocket('udp4');
      scope.after(() => socket.close());
      let asked = 0;
      socket.on('message', () => asked++);
      await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
      const candidate = `candidate:1 1 udp 2122260223 localhost ${socket.address().port} typ host`;
      const lure = (sdp: string) => `${sdp}a=${candidate}\r\n`;
      const { offerer, answerer } = create(scope);
      const { near, far } = await soon(
        connectPair({ offerer, answerer, tellAnswerer: lure, tellOfferer: lure }),
        'the channel',
      );
      await offerer.addIceCandidate({ candidate, sdpMid: '0' });
      const message = receiving(far);
      near.send('connected');
      assert.deepEqual(await soon(message, 'a message'), ['connected']);
      assert.equal(asked, 0);
    }),

    contractCase('it cannot be only through TURN where there is no TURN server', async (scope) => {
      const attempt = (configuration: RtcConfiguration) => () => {
        const connection = engine.createPeerConnection(configuration);
        scope.after(() => connection.close());
      };
      assert.throws(attempt({ iceServers: [], iceTransportPolicy: 'relay' }), {
        name: 'RendezvousError',
        code: 'bad_option',
      });
      for (const urls of ['turn:a', 'turn://a', 'stun:', 'http://a']) {
        assert.throws(attempt({ iceServers: [{ urls }], iceTransportPolicy: 'all' }), { code: 'bad_option' });
      }
    }),

    contractCase('it has candidates in the form of RTCIceCandidateInit, and then null', async (scope) => {
      const { offerer, answerer } = create(scope);
      const candidates: unknown[] = [];
      const channel = arriving(answerer);
      offerer.createDataChannel('mcp');
      const ended = new Promise<void>((resolve) => {
        answerer.onicecandidate = ({ candidate }) => {
          candidates.push(candidate);
          if (!candidate) resolve();
        };
      });
      const { sdp = '' } = await offerer.createOffer();
      await offerer.setLocalDescription({ type: 'offer', sdp });
      await answerer.setRemoteDescription({ type: 'offer', sdp });
      const answer = await answerer.createAnswer();
      await answerer.setLocalDescription({ type: 'answer', sdp: answer.sdp ?? '' });
      await soon(ended, 'the end of the candidates');
      assert.equal(candidates.pop(), null);
      assert(candidates.length > 0);
      for (const candidate of candidates as Record<string, unknown>[]) {
        assert.match(String(candidate['candidate']), /^candidate:\S+ 1 (udp|tcp) \d+ \S+ \d+ typ host/i);
        assert.deepEqual([candidate['sdpMid'], candidate['sdpMLineIndex']], ['0', 0]);
      }
      await offerer.setRemoteDescription({ type: 'answer', sdp: answer.sdp ?? '' });
      for (const candidate of candidates) await offerer.addIceCandidate(candidate as { candidate: string });
      await soon(channel, 'the channel');
    }),
  ];
}
