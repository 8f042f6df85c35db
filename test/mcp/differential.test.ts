import assert from 'node:assert/strict';
import { once } from 'node:events';
import { suite, test } from 'node:test';
import { InMemoryTransport as InMemoryTransportV2 } from '@modelcontextprotocol/client';
import { InMemoryTransport as InMemoryTransportV1 } from '@modelcontextprotocol/sdk/inMemory.js';
import { MemorySignaling, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { weriftEngine } from 'mcp-rendezvous/werift';
import { eventually, within } from '../support/wait.ts';
import { type ClientKind, connect, type Session, type Transport } from './clients.ts';
import { counterUri, poem, Witness } from './fixture.ts';
import { serve, type ServerKind } from './servers.ts';

// What an MCP SDK does over our transport is what it does over its own one in memory.

const pairs: [ClientKind, ServerKind][] = [
  ['v1', 'v1'],
  ['v2 legacy', 'v1'],
  ['v1', 'v2'],
  ['v2 legacy', 'v2'],
  ['v2 modern', 'v2 serveStdio'],
];

interface Ends {
  client: Transport;
  server: Transport;
}

/** Each feature of a session, and what its caller was given. */
async function observe(session: Session, witness: Witness): Promise<unknown[]> {
  const seen: unknown[] = [];
  const note = async (name: string, step: () => Promise<unknown>) => {
    const outcome = step().then(
      (value) => ({ value }),
      (error: unknown) => ({ error: String(error), code: (error as { code?: unknown }).code }),
    );
    seen.push([name, await within(outcome, name)]);
  };
  const call = (name: string, args?: Record<string, unknown>) => note(name, () => session.call(name, args));
  await note('tools', () => session.tools());
  await call('echo', { text: 'Grüße \u{1f642}' });
  await call('echo', { text: 7 });
  await call('add', { a: 2, b: 3 });
  for (const name of ['fail', 'throw', 'nonsense', 'large', 'ask-sampling', 'ask-elicitation', 'ask-roots']) {
    await call(name);
  }
  await note('read', () => session.read(poem.uri));
  await note('read what is not there', () => session.read('text://nothing'));

  const steps: number[] = [];
  await note('progress', () => session.call('progress', {}, { onprogress: ({ progress }) => steps.push(progress) }));
  seen.push(['steps', steps]);

  const logged = once(session.events, 'log');
  await call('log');
  seen.push(['logged', await within(logged, 'the logged text')]);

  const updates: string[] = [];
  session.events.on('updated', (uri) => updates.push(uri));
  const unwatch = await session.watch(counterUri);
  await call('touch');
  await eventually(() => updates.length > 0);
  await unwatch();
  await call('touch');
  seen.push(['updates', updates]);

  const abort = new AbortController();
  const [waiting, cancelled] = [once(witness, 'waiting'), once(witness, 'cancelled')];
  const wait = note('cancelled', () => session.call('wait', {}, { signal: abort.signal }));
  await within(waiting, 'the tool runs');
  abort.abort(new Error('enough'));
  await wait;
  await within(cancelled, 'the server hears of it');

  const numbers = Array.from({ length: 30 }, (_, n) => `${n}`);
  await note('many calls', () => Promise.all(numbers.map((text) => session.call('echo', { text }))));

  const closed = Promise.all([once(witness, 'closed'), once(session.events, 'closed')]);
  await session.close();
  await within(closed, 'both sides close');
  await note('after the end', () => session.call('echo', { text: 'too late' }));
  return seen;
}

async function run([clientKind, serverKind]: [ClientKind, ServerKind], { client, server }: Ends): Promise<unknown[]> {
  const witness = new Witness();
  const [session] = await within(
    Promise.all([connect(clientKind, client), serve(serverKind, server, witness)]),
    'the session',
  );
  return observe(session, witness);
}

suite('an MCP SDK over our transport and over its own one in memory', () => {
  for (const kinds of pairs) {
    test(`client ${kinds[0]}, server ${kinds[1]}`, async (t) => {
      const inMemory = kinds.includes('v1') ? InMemoryTransportV1 : InMemoryTransportV2;
      const [near, far] = inMemory.createLinkedPair();
      const expected = await run(kinds, { client: near, server: far });

      const [here, there] = MemorySignaling.pair();
      const ours = {
        client: new WebRTCClientTransport({ signaling: here, rtc: weriftEngine }),
        server: new WebRTCServerTransport({ signaling: there, rtc: weriftEngine }),
      };
      t.after(() => Promise.all([ours.client.close(), ours.server.close()]));
      assert.deepEqual(await run(kinds, ours), expected);
    });
  }
});
