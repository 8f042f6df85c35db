import { after, before, suite, test } from 'node:test';
import { WebRTCClientTransport } from 'mcp-rendezvous';
import { Coturn, turnSecret } from '../support/coturn.ts';
import { engineNames, engines } from '../support/engines.ts';
import { RelayProcess } from '../support/relay.ts';
import { Room } from '../support/room.ts';
import { within } from '../support/wait.ts';
import { converse } from './converse.ts';
import { createEnd } from './end.ts';
import { openBrowser, type PageEnds, serveEnd } from './ends.ts';
import { connectClient, serverName } from './exchange.ts';
import { pionEnd, PionPeer } from './pion.ts';

/**
 * Pion, the WebRTC of Go, as a peer that was written from PROTOCOL.md (the program in `pion`): in
 * plain mode, through the relay, with trickled candidates, its own without the optional `seq`.
 */
const patienceMs = 40_000;
let coturn: Coturn;
let relay: RelayProcess;
let chromium: PageEnds;

before(async () => {
  const pages = await serveEnd();
  after(() => pages.close());
  [coturn, chromium] = await Promise.all([Coturn.start(), openBrowser('chromium', pages)]);
  relay = await RelayProcess.start({ STUN_URLS: coturn.stun, TURN_URLS: coturn.udp, TURN_SECRET: turnSecret });
});
after(() => Promise.all([relay?.stop(), coturn?.stop(), chromium?.close()]));

for (const name of [...engineNames, 'chromium'] as const) {
  const end = (role: 'client' | 'server') => (name === 'chromium' ? chromium[role] : createEnd(engines[name]));

  suite(`Pion and ${name}`, () => {
    test(`Pion serves ${name}`, async (t) => {
      await converse(t, relay, { server: pionEnd(t), client: end('client') }, 'client', 'pion-server');
    });

    test(`${name} serves Pion`, async (t) => {
      await converse(t, relay, { server: end('server'), client: pionEnd(t) }, 'client', serverName);
    });
  });
}

suite('Pion and werift, both only through TURN', () => {
  test('Pion serves werift', async (t) => {
    const ends = { server: pionEnd(t), client: createEnd(engines.werift) };
    await converse(t, relay, ends, 'turn', 'pion-server');
  });

  test('werift serves Pion', async (t) => {
    const ends = { server: createEnd(engines.werift), client: pionEnd(t) };
    await converse(t, relay, ends, 'turn', serverName);
  });
});

for (const name of engineNames) {
  test(`a server on Pion that closes the channel after its answer: the answer arrives, and ${name} ends`, async (t) => {
    const room = new Room(relay);
    const pion = new PionPeer(t, ['-relay', relay.ws, 'server'], await room.token('server'));
    await pion.event('joined');
    const token = await room.token('client');
    const transport = new WebRTCClientTransport({ relay: relay.ws, token, rtc: engines[name] });
    const { client, closed } = await within(connectClient(transport), 'initialize', patienceMs);
    t.after(() => client.close());
    await within(client.callTool({ name: 'goodbye' }), 'the answer', patienceMs);
    await within(closed, 'the client to close', patienceMs);
    await pion.event('closed');
  });
}
