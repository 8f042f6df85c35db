import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type Engine, type RtcDataChannel, type RtcPeerConnection } from 'mcp-rendezvous';
import { nodeDatachannelEngine } from 'mcp-rendezvous/node-datachannel';
import { weriftEngine } from 'mcp-rendezvous/werift';
import { engineContract } from 'mcp-rendezvous/testing';

/** An engine whose connections have other members than that engine's. */
const altered = (engine: Engine, alter: (connection: RtcPeerConnection) => Partial<RtcPeerConnection>): Engine => ({
  ...engine,
  createPeerConnection: (configuration) => {
    const connection = engine.createPeerConnection(configuration);
    return overlay(connection, alter(connection));
  },
});

/** The object, but for these members; its methods keep their `this`. */
function overlay<T extends object>(object: T, members: Partial<T>): T {
  return new Proxy(object, {
    get(target, name) {
      const value: unknown = Reflect.get(name in members ? members : target, name);
      return typeof value === 'function' && !(name in members) ? (value.bind(target) as unknown) : value;
    },
    set: (target, name, value) => Reflect.set(target, name, value),
  });
}

const alteredChannel = (alter: (channel: RtcDataChannel) => Partial<RtcDataChannel>): Engine =>
  altered(nodeDatachannelEngine, (connection) => ({
    createDataChannel: (label, options) => {
      const channel = connection.createDataChannel(label, options);
      return overlay(channel, alter(channel));
    },
  }));

/** Engines with one flaw each, and the case that sees it. */
const flawed: [string, Engine, RegExp][] = [
  [
    'loses on close what it was given before',
    { ...weriftEngine, flush: () => Promise.resolve() },
    /offerer .* channel .* 30 of/,
  ],
  [
    'goes without TURN where only TURN was asked for',
    {
      ...nodeDatachannelEngine,
      createPeerConnection: ({ iceServers }) =>
        nodeDatachannelEngine.createPeerConnection({ iceServers, iceTransportPolicy: 'all' }),
    },
    /only through TURN/,
  ],
  [
    'does not say how large a message may be',
    altered(nodeDatachannelEngine, () => ({ sctp: null })),
    /^a message has at most/,
  ],
  [
    'takes any SDP',
    altered(nodeDatachannelEngine, (connection) => ({
      // The flaw.
      setRemoteDescription: (description) => connection.setRemoteDescription(description).catch(() => {}),
    })),
    /^it refuses/,
  ],
  [
    'reads another certificate than the one that was parsed',
    altered(weriftEngine, (connection) => ({
      get remoteDescription() {
        const { remoteDescription } = connection;
        return (
          remoteDescription && { ...remoteDescription, sdp: `${remoteDescription.sdp}A=fingerprint:sha-256 0F\r\n` }
        );
      },
    })),
    /^it reads no other certificate/,
  ],
  [
    'takes another certificate than the one that was parsed',
    altered(nodeDatachannelEngine, (connection) => ({
      setRemoteDescription: ({ type, sdp }) =>
        connection.setRemoteDescription({ type, sdp: sdp.replace(/^(a=fingerprint:\S+ )..:../m, '$10F:0F') }),
    })),
    /^it connects over descriptions/,
  ],
  ['is always new', altered(nodeDatachannelEngine, () => ({ connectionState: 'new' })), /^it has the states/],
  [
    'sends empty messages',
    alteredChannel((channel) => ({ send: (data) => channel.send(data === '' ? ' ' : data) })),
    /^a message has at most/,
  ],
  [
    'sends what is in the buffer later',
    alteredChannel((channel) => ({ send: (data) => setImmediate(() => channel.send(data)) })),
    /^what was in the buffer/,
  ],
  ['never has little left', alteredChannel(() => ({ bufferedAmount: 1_000_000 })), /^it is told when little is left/],
];

suite('the engine contract', () => {
  for (const [what, engine, expected] of flawed) {
    test(`sees an engine that ${what}`, async () => {
      const cases = engineContract(engine, { patienceMs: 3_000 }).filter(({ name }) => expected.test(name));
      assert.equal(cases.length, 1);
      await assert.rejects(cases[0]!.run());
    });
  }
});
