import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { suite, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  type Engine,
  type JsonRpcMessage,
  type RtcDataChannel,
  type Signaling,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { engineNames, engines } from '../support/engines.ts';
import { within } from '../support/wait.ts';
import { answering, inOlderForm, offering, type RawOptions, withCandidate, withoutCandidates } from './raw.ts';

const patienceMs = 30_000;
/** What a data channel carries without chunks, here and in every browser. */
const mostBytes = 262_144;
const unfitChannels = [
  ['that is unordered', { ordered: false }],
  ['that gives up on lost messages', { maxRetransmits: 0 }],
  ['that gives up on late messages', { maxPacketLifeTime: 100 }],
] as const;
const ipv6 = fileURLToPath(new URL('ipv6.ts', import.meta.url));

const next = (transport: WebRTCClientTransport): Promise<JsonRpcMessage> =>
  new Promise((resolve) => {
    transport.onmessage = (message) => resolve(message);
  });

/** A message that is so many bytes of JSON. */
function sized(bytes: number): { value: JsonRpcMessage; text: string } {
  const padded = (padding: number): JsonRpcMessage => ({
    jsonrpc: '2.0',
    method: 'notifications/message',
    params: { padding: 'x'.repeat(padding) },
  });
  const value = padded(bytes - JSON.stringify(padded(0)).length);
  return { value, text: JSON.stringify(value) };
}

for (const name of engineNames) {
  const rtc: Engine = engines[name];
  const client = (t: TestContext, signaling: Signaling, connectTimeoutMs = patienceMs) => {
    const transport = new WebRTCClientTransport({ signaling, rtc, connectTimeoutMs });
    t.after(() => transport.close());
    return transport;
  };
  /** A client of this SDK that is offered something, and what becomes of its start(). */
  const offered = async (t: TestContext, options: RawOptions, connectTimeoutMs?: number) => {
    const peer = offering(t, options);
    const transport = client(t, peer.signaling, connectTimeoutMs);
    const started = within(transport.start(), 'the end of start()', patienceMs + 5_000);
    return { ...peer, transport, started };
  };

  suite(`a peer that is not of this project, towards ${name}`, () => {
    test('a channel of another label is refused as bad_channel', async (t) => {
      const { started } = await offered(t, { open: (connection) => connection.createDataChannel('chat') });
      await assert.rejects(started, { code: 'bad_channel', message: /label/ });
    });

    // libdatachannel's binding does not tell how a channel that the other side opened was opened.
    const unfit = name === 'node-datachannel' ? [] : unfitChannels;
    for (const [what, options] of unfit) {
      test(`a channel ${what} is refused as bad_channel`, async (t) => {
        const { started } = await offered(t, { open: (connection) => connection.createDataChannel('mcp', options) });
        await assert.rejects(started, { code: 'bad_channel', message: /ordered and reliable/ });
      });
    }

    test('an offer of media only is refused as bad_signal', async (t) => {
      const { started } = await offered(t, { open: (connection) => void connection.addTransceiver('audio') });
      await assert.rejects(started, { code: 'bad_signal', message: /no data channel/ });
    });

    test('an answer that leaves out the data channel is refused as bad_signal', async (t) => {
      const signaling = answering(t, (sdp) => sdp.replace(/^m=application[^]*/m, ''));
      const server = new WebRTCServerTransport({ signaling, rtc, connectTimeoutMs: patienceMs });
      t.after(() => server.close());
      await assert.rejects(server.start(), { code: 'bad_signal', message: /no data channel/ });
    });

    test('media beside the data channel do no harm', async (t) => {
      const open: RawOptions['open'] = (connection) => {
        const channel = connection.createDataChannel('mcp');
        connection.addTransceiver('audio');
        return channel;
      };
      const { started, transport, channel } = await offered(t, { open });
      await started;
      const heard = next(transport);
      channel?.send('{"jsonrpc":"2.0","method":"ping","id":1}');
      assert.deepEqual(await within(heard, 'a message', patienceMs), { jsonrpc: '2.0', method: 'ping', id: 1 });
    });

    test('of two channels the first one counts, and the other one is closed', async (t) => {
      const second = Promise.withResolvers<void>();
      const open: RawOptions['open'] = (connection) => {
        const first = connection.createDataChannel('mcp');
        first.onopen = () => {
          const other = connection.createDataChannel('mcp');
          other.onclose = () => second.resolve();
        };
        return first;
      };
      const { started, transport, channel } = await offered(t, { open });
      await started;
      const heard = next(transport);
      channel?.send('{"jsonrpc":"2.0","method":"ping","id":2}');
      assert.deepEqual(await within(heard, 'a message', patienceMs), { jsonrpc: '2.0', method: 'ping', id: 2 });
      await within(second.promise, 'the other channel to be closed', patienceMs);
      assert.equal(transport.state, 'connected');
    });

    test('256 KiB in one message, both ways, and then nobody is cut off', async (t) => {
      const { started, transport, channel } = await offered(t, {
        open: (connection) => connection.createDataChannel('mcp'),
      });
      await started;
      const { value: large, text } = sized(mostBytes);
      const heard = next(transport);
      channel?.send(text);
      assert.deepEqual(await within(heard, 'the message here', patienceMs), large);
      const back = received(channel!);
      await transport.send(large);
      assert.equal(await within(back, 'the message there', patienceMs), text);
      await assert.rejects(transport.send(sized(mostBytes + 1).value), { code: 'message_too_large' });
      assert.equal(transport.state, 'connected');
    });

    test('what is said in the older form of SDP, and the engine does not hear, is not sent', async (t) => {
      const open: RawOptions['open'] = (connection) => {
        // An engine may answer in that form with a port in the newer one, which libwebrtc does not
        // take.
        const accept = connection.setRemoteDescription.bind(connection);
        connection.setRemoteDescription = ({ type, sdp }) =>
          accept({ type, sdp: sdp.replace(/ DTLS\/SCTP 5000/, ' UDP/DTLS/SCTP webrtc-datachannel') });
        return connection.createDataChannel('mcp');
      };
      const { started, transport, channel } = await offered(t, { open, tell: inOlderForm });
      await started;
      // Engines differ in what they take from it; none may lose a message, keep somebody waiting,
      // or close the channel.
      const { value: large, text } = sized(200_000);
      const there = received(channel!);
      const sent = await transport.send(large).then(
        () => text,
        ({ code }: { code: string }) => code,
      );
      if (sent === text) assert.equal(await within(there, 'the message there', patienceMs), text);
      else assert.equal(sent, 'message_too_large');
      const back = received(channel!);
      await transport.send({ jsonrpc: '2.0', id: 7, result: { padding: text } });
      const { id, result, error } = JSON.parse(String(await within(back, 'the response there', patienceMs))) as {
        [member: string]: { code?: number; padding?: string };
      };
      assert.deepEqual([id, sent === text ? result?.padding : error?.code], [7, sent === text ? text : -32_603]);
      const heard = next(transport);
      channel?.send('{"jsonrpc":"2.0","method":"ping","id":1}');
      await within(heard, 'a message', patienceMs);
      assert.equal(transport.state, 'connected');
    });

    for (const [what, tell] of [
      ['has no candidate', withoutCandidates],
      [
        'names only addresses of IPv6 that nobody has',
        (sdp: string) => withCandidate(withoutCandidates(sdp), '2001:db8::7'),
      ],
      [
        'names only a host that does not exist',
        (sdp: string) => withCandidate(withoutCandidates(sdp), 'nowhere.invalid'),
      ],
    ] as const) {
      test(`an SDP that ${what} is an ice_failed within the connect timeout`, async (t) => {
        // The other side finds this one where they can reach each other, so it must not know how.
        const open: RawOptions['open'] = (connection) => {
          connection.setRemoteDescription = async () => {};
          return connection.createDataChannel('mcp');
        };
        const { started } = await offered(t, { open, tell }, 3_000);
        await assert.rejects(started, { code: 'ice_failed', message: /No network path/ });
      });
    }

    test('a host that does not exist beside a candidate that works does no harm', async (t) => {
      const { started } = await offered(t, {
        open: (connection) => connection.createDataChannel('mcp'),
        tell: (sdp) => withCandidate(withCandidate(sdp, 'nowhere.invalid'), '2001:db8::7'),
      });
      await started;
    });

    test('two hosts with IPv6 only connect', async () => {
      const script = `
        ip link set lo up
        ip address del 127.0.0.1/8 dev lo
        ip link add six0 type veth peer name six1
        ip address add 2001:db8::1/64 dev six0 nodad
        ip link set six0 up
        ip link set six1 up
        ip -6 route add default dev six0
        exec "$@"`;
      const unshare = process.getuid?.() === 0 ? ['--net'] : ['--map-root-user', '--net'];
      const node = [process.execPath, '--conditions=mcp-rendezvous-source', ipv6, name];
      const { stdout } = await promisify(execFile)('unshare', [...unshare, 'sh', '-euc', script, 'sh', ...node], {
        timeout: 60_000,
        killSignal: 'SIGKILL',
      });
      assert.equal(stdout.trim(), 'connected by IPv6');
    });
  });
}

const received = (channel: RtcDataChannel): Promise<unknown> =>
  new Promise((resolve) => {
    channel.onmessage = ({ data }) => resolve(data);
  });
