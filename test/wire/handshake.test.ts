import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { fromBase64Url, secretKeyBytes } from 'mcp-rendezvous-protocol';
import { FrameChannel } from '../../sdk/src/link/frame-channel.ts';
import { shakeHands } from '../../sdk/src/link/handshake.ts';
import type { Carrier } from '../../sdk/src/link/link.ts';
import { systemClock } from '../../sdk/src/util/clock.ts';
import { within } from '../support/wait.ts';
import { read, transcriptNames } from './files.ts';

// The SDK's own handshake is one end of the transcripts; the other end is what they have of it.

interface Given {
  secret: string;
  session: string;
  nonces: string[];
  firstNonces: string[];
  fingerprints: string[];
}

/** A channel on which one end of a transcript is at the other side. */
function scripted(given: Given, offerer: boolean, inbound: string[]) {
  const sent: string[] = [];
  const sdp = (at: number) =>
    `v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=setup:active\r\na=fingerprint:${given.fingerprints[at]}\r\na=max-message-size:262144\r\n`;
  const channel: Carrier['channel'] = {
    readyState: 'open',
    bufferedAmount: 0,
    bufferedAmountLowThreshold: 0,
    binaryType: 'arraybuffer',
    send(data) {
      assert.ok(typeof data !== 'string');
      sent.push(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex'));
      // An answerer proves when it has the offerer's proof; an offerer without waiting.
      for (const hex of inbound.splice(0, offerer ? 1 : 2)) {
        setImmediate(() => this.onmessage?.({ data: new Uint8Array(Buffer.from(hex, 'hex')).buffer }));
      }
    },
    onmessage: null,
    onclose: null,
    onerror: null,
    onbufferedamountlow: null,
  };
  const carrier: Carrier = {
    engine: { flush: async () => {} },
    connection: {
      connectionState: 'connected',
      onconnectionstatechange: null,
      getStats: async () => [],
      close: () => {},
    },
    channel,
    early: [],
    localSdp: sdp(offerer ? 0 : 1),
    remoteSdp: sdp(offerer ? 1 : 0),
  };
  return { carrier, sent };
}

/** What is otherwise drawn at random, in this order. */
function draw(t: TestContext, values: string[]): void {
  t.mock.method(crypto, 'getRandomValues', (array: Uint8Array) => {
    array.set(fromBase64Url(values.shift() ?? assert.fail('more is drawn than a transcript has')));
    return array;
  });
}

suite("the SDK's handshake", () => {
  for (const name of transcriptNames.filter((one) => read(one).kind === 'channel')) {
    for (const end of ['offerer', 'answerer'] as const) {
      test(`is the ${end} of ${name}`, async (t) => {
        const { given: all, derived, steps } = read(name);
        const given = all as unknown as Given;
        const offerer = end === 'offerer';
        const frames = steps.filter(({ frame }) => frame?.type === 'hello' || frame?.type === 'auth');
        const of = (who: string) => frames.flatMap(({ from, hex = '' }) => (from === who ? [hex] : []));
        const { carrier, sent } = scripted(given, offerer, of(offerer ? 'answerer' : 'offerer'));
        const resumes = given.nonces[0] !== given.firstNonces[0];
        const key = new Uint8Array(Buffer.from(derived['sessionKey'] as string, 'hex'));
        const nonce = given.nonces[offerer ? 0 : 1]!;
        draw(t, offerer && !resumes ? [given.session, nonce] : [nonce]);
        const { session } = await within(
          shakeHands(new FrameChannel(carrier, systemClock), {
            offerer,
            maxMessageBytes: 10_485_760,
            secret: given.secret === '' ? undefined : secretKeyBytes(given.secret),
            context: new Uint8Array(Buffer.from(derived['context'] as string, 'hex')),
            session: resumes ? { name: given.session, key, maxMessageBytes: 10_485_760 } : undefined,
            received: resumes ? 2 : 0,
          }),
          'the handshake',
        );
        assert.deepEqual(sent, of(end));
        assert.deepEqual([session.name, session.key], [given.session, key]);
      });
    }
  }
});
