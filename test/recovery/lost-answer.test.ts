import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WebSocket } from 'ws';
import { startApp } from '../../server/test/support/app.ts';
import { came, pairUp } from '../relayed/pair.ts';
import { eventually } from '../support/wait.ts';

/** Sockets of one peer, the second of which is lost with the relay's answer to its join. */
function losingSecondAnswer() {
  const sockets: WebSocket[] = [];
  class LosingSocket extends WebSocket {
    constructor(...args: [url: URL, protocols: string]) {
      super(...args);
      sockets.push(this);
      if (sockets.length === 2) this.prependListener('message', () => this.terminate());
    }

    override addEventListener(...listener: Parameters<WebSocket['addEventListener']>): void {
      const loses = listener[0] === 'message' && this === sockets[1];
      if (!loses) super.addEventListener(...listener);
    }
  }
  return { LosingSocket, sockets };
}

for (const role of ['server', 'client'] as const) {
  test(`the ${role} joins again and never hears the answer: it is replaced by itself, and its session goes on`, async (t) => {
    const app = await startApp(t);
    const { LosingSocket, sockets } = losingSecondAnswer();
    const webSocket = LosingSocket as unknown as typeof globalThis.WebSocket;
    const { client, server } = await pairUp(t, app.url, {
      client: { paths: ['relayed'] },
      server: { paths: ['relayed'] },
      [role]: { paths: ['relayed'], webSocket },
    });
    await client.number(0, 10);
    await came(server, 10);
    const other = role === 'server' ? client : server;
    const before = other.transport.peer?.id;
    sockets[0]!.terminate();
    await client.number(10, 20);
    await server.number(0, 10);
    await came(server, 20);
    await came(client, 10);
    assert.ok(sockets.length >= 3);
    await eventually(() => other.transport.peer?.id !== before);
    assert.deepEqual([client.closed, server.closed], [0, 0]);
    // While there is a relay to do it over.
    await Promise.all([client.transport.close(), server.transport.close()]);
  });
}
