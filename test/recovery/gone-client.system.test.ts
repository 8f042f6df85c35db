import assert from 'node:assert/strict';
import { suite, test, type TestContext } from 'node:test';
import { WebSocket } from 'ws';
import { listen, WebRTCClientTransport, WebRTCServerTransport } from '../../sdk/src/index.ts';
import type { WebRTCTransport } from '../../sdk/src/transport/transport.ts';
import type { Path, TransportState } from '../../sdk/src/transport/types.ts';
import { startApp } from '../../server/test/support/app.ts';
import { testToken } from '../../server/test/support/peer.ts';
import { eventually } from '../support/wait.ts';

/** The time of one whose socket was closed is 5 s; a silent one has 40 s. */
const soonMs = 30_000;

/** A server that a client is connected to, which can vanish as a process that is killed does. */
async function scene(t: TestContext, as: 'listener' | 'transport') {
  const { url: relay } = await startApp(t);
  const sockets = new Set<WebSocket>();
  class OwnSocket extends WebSocket {
    constructor(...args: ConstructorParameters<typeof WebSocket>) {
      super(...args);
      sockets.add(this);
    }
  }
  let there = true;
  const own = { relay, paths: ['relayed'] as Path[] };
  const token = await testToken({ room: 'gone', role: 'server' });
  let server: WebRTCTransport | undefined;
  if (as === 'listener') {
    const listener = await listen({ ...own, token }, (transport) => {
      server = transport;
      return transport.start();
    });
    t.after(() => listener.close());
  } else {
    server = new WebRTCServerTransport({ ...own, token });
    void server.start();
    t.after(() => server?.close());
  }
  const client = new WebRTCClientTransport({
    ...own,
    token: async () => (there ? await testToken({ room: 'gone', role: 'client' }) : await new Promise<never>(() => {})),
    webSocket: OwnSocket as never,
  });
  t.after(() => client.close());
  await client.start();
  await eventually(() => server?.state === 'connected');
  await client.send({ jsonrpc: '2.0', method: 'hello' });
  const errors: string[] = [];
  server!.onerror = (error) => errors.push((error as { code?: string }).code ?? String(error));
  /** Its socket is closed without a word. */
  const cut = (forGood: boolean): void => {
    there = !forGood;
    for (const socket of sockets) socket.terminate();
    sockets.clear();
  };
  return { server: server!, client, errors, cut };
}

// Side by side, as they wait.
void suite('a client whose process is gone', { concurrency: true }, () => {
  for (const as of ['listener', 'transport'] as const) {
    test(`ends its session with session_lost soon: of a ${as}`, async (t) => {
      const { server, errors, cut } = await scene(t, as);
      cut(true);
      await eventually(() => server.state === 'closed', soonMs);
      assert.equal(errors.at(-1), 'session_lost');
    });

    test(`is not one that comes back in time: of a ${as}`, async (t) => {
      const { server, client, errors, cut } = await scene(t, as);
      const states: TransportState[] = [];
      server.onstatechange = (state) => states.push(state);
      cut(false);
      await eventually(() => states.includes('recovering') && server.state === 'connected');
      await client.send({ jsonrpc: '2.0', method: 'hello' });
      assert.ok(!errors.includes('session_lost'));
    });
  }
});
