import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startApp } from '../../server/test/support/app.ts';
import type { Engine } from '../../sdk/src/peer/engine.ts';
import { weriftEngine } from '../../sdk/src/peer/werift.ts';
import type { ConnectOptions } from '../../sdk/src/transport/types.ts';
import { eventually } from '../support/wait.ts';
import { EvilRelay } from './evil-relay.ts';
import { came, pairUp } from './pair.ts';
import { OwnTime } from '../support/own-time.ts';

/** The channels that it makes open, and then nothing arrives any more, nor that they are closed. */
class MuteEngine implements Engine {
  readonly name = weriftEngine.name;
  readonly restartsIce = weriftEngine.restartsIce;
  readonly authenticate = (...args: Parameters<NonNullable<Engine['authenticate']>>) =>
    weriftEngine.authenticate!(...args);
  readonly #closing: (() => void)[] = [];

  createPeerConnection(...args: Parameters<Engine['createPeerConnection']>) {
    const connection = weriftEngine.createPeerConnection(...args);
    const create = connection.createDataChannel.bind(connection);
    connection.createDataChannel = (...options) => {
      const channel = create(...options);
      channel.send = () => {};
      return channel;
    };
    const close = connection.close.bind(connection);
    this.#closing.push(() => void close());
    connection.close = () => {};
    return connection;
  }

  close(): void {
    for (const close of this.#closing) close();
  }
}

test('a session goes on at once when the connection that it moves to and the relay are lost together', async (t) => {
  const app = await startApp(t);
  const evil = await EvilRelay.start(t, app.url);
  let open = 0;
  const rtc = new MuteEngine();
  t.after(() => rtc.close());
  const options: Partial<ConnectOptions> = {
    rtc,
    ondiagnostic: ({ type }) => type === 'channel_open' && open++,
  };
  const { client, server } = await pairUp(t, evil.url, { client: options, server: options });
  await client.number(0, 1);
  await came(server, 1);
  await eventually(() => open === 2);
  const clock = new OwnTime(t);
  evil.drop('client');
  await eventually(() => client.states.includes('recovering'));
  await Promise.all([client.number(1, 5), server.number(0, 5)]);
  await came(server, 5);
  await came(client, 5);
  // The handshake on the connection that is dead would go on for 8 s.
  assert.ok(clock.ms < 7_000, `${clock.ms} ms`);
  assert.deepEqual(client.states, ['connecting', 'connected', 'recovering', 'connected']);
});
