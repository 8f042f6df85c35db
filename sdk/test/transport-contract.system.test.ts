import { suite, test } from 'node:test';
import { type Engine, MemorySignaling, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { transportContract, type TransportContractOptions, type TransportPair } from 'mcp-rendezvous/testing';
import type { JsonRpcMessage } from '../src/link/message.ts';
import { engines } from './peer/engines.ts';

/** A server that speaks plain mode only gets an offer that does not ask for more. */
function pairOver(rtc: Engine, plain = false): TransportPair {
  const [near, far] = MemorySignaling.pair();
  if (plain) {
    const send = far.send.bind(far);
    far.send = (message) =>
      send('sdp' in message ? { ...message, sdp: message.sdp.replace(/^a=mcp-framed:.*\r\n/m, '') } : message);
  }
  return {
    client: new WebRTCClientTransport({ signaling: near, rtc }),
    server: new WebRTCServerTransport({ signaling: far, rtc }),
  };
}

const options = (rtc: Engine): TransportContractOptions => ({
  patienceMs: 60_000, // werift on a machine that is busy with other things
  sendJunk: async ({ client }) => {
    // The transport itself passes on what it is given.
    // Deliberately not a message.
    for (const nonsense of [[], { id: 1 }, 'text']) await client.send(nonsense as unknown as JsonRpcMessage);
  },
  unreachable: () => {
    const [nobody] = MemorySignaling.pair();
    return new WebRTCClientTransport({ signaling: nobody, rtc, connectTimeoutMs: 50 });
  },
});

for (const rtc of engines) {
  // @roamhq/wrtc takes a second to close a connection, in which it does nothing.
  const concurrency = rtc.name === 'wrtc' ? 16 : 1;

  suite(`the transports over ${rtc.name}, framed`, { concurrency }, () => {
    const framed = { ...options(rtc), carriesRelatedRequestId: true };
    for (const { name, run } of transportContract(() => pairOver(rtc), framed)) test(name, run);
  });

  if (rtc.name === 'wrtc') continue; // plain mode asks nothing else of an engine
  suite(`the transports over ${rtc.name}, plain`, () => {
    const plain = { ...options(rtc), largeBytes: 262_144 };
    for (const { name, run } of transportContract(() => pairOver(rtc, true), plain)) test(name, run);
  });
}
