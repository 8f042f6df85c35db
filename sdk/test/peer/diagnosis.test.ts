import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { RendezvousError } from 'mcp-rendezvous-protocol';
import { CandidateTally, explain } from '../../src/peer/diagnosis.ts';
import type { RtcPeerConnection } from '../../src/peer/engine.ts';
import { weriftEngine } from '../../src/peer/werift.ts';
import { direct } from './pair.ts';

const host = 'candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host';
const named = 'candidate:1 1 udp 2122260223 1f4712db-ea17-4bcf-a596-105139dfd8bf.local 50000 typ host';
const reflexive = 'candidate:2 1 udp 1686052607 203.0.113.9 40000 typ srflx raddr 192.0.2.7 rport 50000';
const credentials = { username: '1790000000:agent-7', credential: 'bWFj' };

function create(t: TestContext): RtcPeerConnection {
  const connection = weriftEngine.createPeerConnection(direct);
  t.after(() => connection.close());
  return connection;
}

/** What is said about an attempt that has seen these candidates. */
function told(t: TestContext, local: string[], remote: string[], fill?: (tally: CandidateTally) => void): string {
  const tally = new CandidateTally();
  for (const candidate of local) tally.local(candidate);
  for (const candidate of remote) tally.remote(candidate);
  fill?.(tally);
  const error = explain(create(t), tally);
  assert.deepEqual([error.code, error.retryable], ['ice_failed', true]);
  assert.doesNotMatch(error.message, /192\.0\.2|203\.0\.113|\.local|agent-7|example/);
  return error.message;
}

test('a path on which the time was over is no path that is not trusted', () => {
  const late = new RendezvousError('connect_timeout', 'Connecting timed out after 30 s.', { retryable: true });
  const at = (connectionState: RtcPeerConnection['connectionState']) =>
    // All it asks.
    explain({ iceConnectionState: 'connected', connectionState } as RtcPeerConnection, new CandidateTally(), late);
  assert.equal(at('failed').code, 'dtls_untrusted');
  for (const [state, missing] of [
    ['connecting', /30 s\. .*DTLS handshake/],
    ['connected', /30 s\. .*data channel/],
  ] as const) {
    const error = at(state);
    assert.deepEqual([error.code, error.retryable], ['connect_timeout', true]);
    assert.match(error.message, missing);
  }
});

suite('why there is no network path', () => {
  test('counts of the candidates by type', (t) => {
    const message = told(t, [host, host, reflexive], [host, named]);
    assert.match(message, /candidates here: 2 host, 1 srflx; from the other side: 1 host, 1 hidden host/);
    assert.match(message, /TURN_URLS/);
  });

  test('no candidates on one side', (t) => {
    assert.match(told(t, [], [host]), /This machine has no network address/);
    assert.match(told(t, [host], []), /The other side sent no network address/);
  });

  test('only names of a network elsewhere', (t) => {
    assert.match(told(t, [host], [named, named]), /2 hidden host\)\. The other side hides its addresses/);
    assert.doesNotMatch(told(t, [host], [named, host]), /hides/);
  });

  test('servers that gave nothing', (t) => {
    const failure = (url: string, errorCode: number) => (tally: CandidateTally) =>
      tally.serverError({ url, errorCode, errorText: '' });
    assert.match(
      told(t, [host], [host], failure('turn:turn.example:3478?transport=udp', 401)),
      /The TURN over UDP server rejected the credentials \(401\)/,
    );
    assert.match(
      told(t, [host], [host], failure('turns:turn.example', 701)),
      /The TURNS server is unreachable from here/,
    );
    assert.match(told(t, [host], [host], failure('turn:turn.example', 486)), /no capacity left/);
    // One of several addresses has got an answer.
    assert.doesNotMatch(told(t, [host, reflexive], [host], failure('stun:stun.example', 701)), /STUN/);
  });

  test('a stable detail for each cause', (t) => {
    const failed = (url: string, errorCode: number) => (tally: CandidateTally) =>
      tally.serverError({ url, errorCode, errorText: '' });
    const asked = (tally: CandidateTally) => tally.asks([{ urls: 'stun:a' }]);
    const both =
      (...fills: ((tally: CandidateTally) => void)[]) =>
      (tally: CandidateTally) => {
        for (const fill of fills) fill(tally);
      };
    const cases: [detail: string, local: string[], remote: string[], fill?: (tally: CandidateTally) => void][] = [
      ['no_stun', [host], [host]],
      ['no_path', [host, reflexive], [host, reflexive], asked],
      ['no_path', [host], [host], asked],
      ['udp_blocked', [host], [host, reflexive], both(asked, failed('stun:a', 701))],
      ['udp_blocked', [host], [host], both(asked, failed('stun:a', 701), failed('turn:a', 701))],
      ['turn_refused', [host, reflexive], [host], both(asked, failed('turn:a', 401))],
      ['turn_refused', [host], [host], both(asked, failed('stun:a', 701), failed('turn:a', 486))],
      ['turn_unreachable', [host, reflexive], [host], both(asked, failed('turn:a', 701))],
      ['no_address', [], [host], asked],
      ['no_remote_address', [host], [], asked],
      ['no_remote_address', [host], [named], asked],
    ];
    for (const [detail, local, remote, fill] of cases) {
      const tally = new CandidateTally();
      for (const candidate of local) tally.local(candidate);
      for (const candidate of remote) tally.remote(candidate);
      fill?.(tally);
      assert.equal(explain(create(t), tally).detail, detail);
    }
  });

  test('candidates inside a description count, and once', async (t) => {
    const connection = create(t);
    connection.createDataChannel('mcp');
    const gathered = new Promise<void>((resolve) => {
      connection.onicegatheringstatechange = () => {
        if (connection.iceGatheringState === 'complete') resolve();
      };
    });
    const { sdp = '' } = await connection.createOffer();
    await connection.setLocalDescription({ type: 'offer', sdp });
    await gathered;
    const inside = connection.localDescription?.sdp.match(/^a=candidate:/gm)?.length ?? 0;
    assert(inside > 0);
    const tally = new CandidateTally();
    tally.local(host);
    for (let times = 0; times < 2; times++) {
      assert.match(explain(connection, tally).message, new RegExp(`candidates here: ${inside} host;`));
    }
  });

  test('a real TURN server that does not answer', async (t) => {
    const connection = weriftEngine.createPeerConnection({
      iceServers: [{ urls: 'turn:127.0.0.1:9?transport=tcp', ...credentials }],
      iceTransportPolicy: 'relay',
    });
    t.after(() => connection.close());
    const tally = new CandidateTally();
    const reported = new Promise<void>((resolve) => {
      connection.onicecandidateerror = (error) => {
        tally.serverError(error);
        resolve();
      };
    });
    connection.createDataChannel('mcp');
    const { sdp = '' } = await connection.createOffer();
    await connection.setLocalDescription({ type: 'offer', sdp });
    await reported;
    assert.match(explain(connection, tally).message, /The TURN over TCP server is unreachable/);
  });
});
