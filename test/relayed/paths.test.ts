import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { createSecret } from 'mcp-rendezvous-protocol';
import { type RunningApp, startApp } from '../../server/test/support/app.ts';
import type { Engine } from '../../sdk/src/peer/engine.ts';
import { nodeDatachannelEngine } from '../../sdk/src/peer/node-datachannel.ts';
import { weriftEngine } from '../../sdk/src/peer/werift.ts';
import type { ConnectOptions, Path } from '../../sdk/src/transport/types.ts';
import { testToken } from '../../server/test/support/peer.ts';
import { HeldTimers } from '../support/held-timers.ts';
import { eventually } from '../support/wait.ts';
import { came, type End, newPair, pairUp } from './pair.ts';

/** Sends both ways, and waits for it. */
async function talk(one: End, other: End): Promise<void> {
  const [begin, end] = [one.numbers.length, one.numbers.length + 20];
  await Promise.all([one.number(begin, end), other.number(begin, end)]);
  await came(one, end);
  await came(other, end);
}

void suite('where no connection is allowed', () => {
  let app: RunningApp;
  before(async () => {
    app = await startApp(undefined);
  });
  after(() => app.close());

  for (const rtc of [weriftEngine, nodeDatachannelEngine] as Engine[]) {
    for (const paths of [['relayed'], ['turn', 'relayed']] as Path[][]) {
      for (const role of ['client', 'server', 'both'] as const) {
        test(`${rtc.name}: ${paths.join(' and ')} for ${role}, without TURN: the relayed path, for good`, async (t) => {
          const sent: string[] = [];
          const ondiagnostic: ConnectOptions['ondiagnostic'] = ({ type }) => sent.push(type);
          const own = { rtc, paths, ondiagnostic };
          const { client, server } = await pairUp(t, app.url, {
            client: role === 'server' ? { rtc } : own,
            server: role === 'client' ? { rtc } : own,
          });
          await talk(client, server);
          const sentSoFar = [...sent];
          await talk(client, server);
          for (const { paths: taken, states, errors, transport } of [client, server]) {
            assert.equal(transport.path, 'relayed');
            assert.deepEqual(taken, ['relayed']);
            assert.deepEqual(states, ['connecting', 'connected']);
            assert.deepEqual(errors, []);
          }
          assert.deepEqual(
            sent.filter((type) => type === 'candidate'),
            sentSoFar.filter((type) => type === 'candidate'),
          );
          assert.ok(!sent.includes('channel_open'));
        });
      }
    }
  }

  for (const rtc of [weriftEngine, nodeDatachannelEngine] as Engine[]) {
    for (const role of ['client', 'server'] as const) {
      // An offer waits for no relay where ICE servers are given, and for no token that is.
      for (const how of ['a token', 'a token that is fetched', 'a token that is fetched, and ICE servers']) {
        test(`${rtc.name}, by the claim of the ${role}, with ${how}: the relayed path, for good`, async (t) => {
          const own: string[] = [];
          const ondiagnostic: ConnectOptions['ondiagnostic'] = (event) => {
            // The other side, which may connect, has candidates.
            if (event.type === 'candidate' && event.side === 'local') own.push(event.type);
            if (event.type === 'channel_open') own.push(event.type);
          };
          const room = `claimed by the ${role} with ${how} on ${rtc.name}`;
          const token = () => testToken({ room, role, paths: ['relayed'] });
          const options = {
            rtc,
            ondiagnostic,
            ...(how !== 'a token' && { token }),
            ...(how.includes('ICE') && { iceServers: [] }),
          };
          const { client, server } = await pairUp(t, app.url, {
            room,
            claims: { [role]: ['relayed'] },
            client: role === 'client' ? options : { rtc },
            server: role === 'server' ? options : { rtc },
          });
          await talk(client, server);
          // What was gathered for an offer or an answer has come before that.
          await talk(client, server);
          for (const { paths, errors } of [client, server]) assert.deepEqual([paths, errors], [['relayed'], []]);
          assert.deepEqual(own, []);
        });
      }
    }
  }

  test('the secret is proven there, too', async (t) => {
    const paths: Path[] = ['relayed'];
    for (const wrong of [{ secret: createSecret() }, {}]) {
      const server = { paths, rtc: weriftEngine, secret: createSecret() };
      const ends = await newPair(t, app.url, { client: { paths, rtc: weriftEngine, ...wrong }, server });
      const results = await Promise.allSettled([ends.server.transport.start(), ends.client.transport.start()]);
      assert.deepEqual(
        results.map((result) => (result.status === 'rejected' ? (result.reason as { code: string }).code : 'started')),
        ['secret_mismatch', 'secret_mismatch'],
      );
    }
  });
});

void suite('where no connection is allowed and the relay relays nothing', () => {
  for (const role of ['client', 'server'] as const) {
    test(`the ${role} says why`, async (t) => {
      const app = await startApp(t, { RELAYED_DATA: 'off' });
      const connectTimeoutMs = 4_000;
      const timeout = new HeldTimers(t, connectTimeoutMs);
      let left = false;
      const ondiagnostic: ConnectOptions['ondiagnostic'] = (event) =>
        void (left ||= event.type === 'peer' && event.state === 'gone');
      const ends = await newPair(t, app.url, {
        client: { rtc: weriftEngine },
        server: { rtc: weriftEngine },
        [role]: { rtc: weriftEngine, paths: ['relayed'], connectTimeoutMs, ondiagnostic },
      });
      const other = ends[role === 'client' ? 'server' : 'client'].transport.start();
      other.catch(() => {});
      const said = assert.rejects(ends[role].transport.start(), { code: 'ice_failed', message: /paths/ });
      // A server waits on for another client, and then says why the one that came has left.
      if (role === 'server') {
        await eventually(() => left);
        timeout.fire();
      }
      await said;
    });
  }
});
