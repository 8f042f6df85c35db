import assert from 'node:assert/strict';
import type { JsonRpcMessage } from '../link/message.ts';
import { type ContractCase, turns } from './case.ts';
import {
  type Ends,
  type MakePair,
  numbered,
  numbersOf,
  pairCase,
  type TransportContractOptions,
  upTo,
} from './transport-pair.ts';

/** What the MCP SDKs and applications do with handlers, and with the members beside them. */
export function handlerCases(makePair: MakePair, options: TransportContractOptions): ContractCase[] {
  const connected = (name: string, body: (ends: Ends) => Promise<void>): ContractCase =>
    pairCase(name, makePair, options, async (ends) => {
      await ends.start();
      await body(ends);
    });

  return [
    // The version probe of the MCP SDK v2 sets a handler of its own, and the client's when it is
    // through.
    connected('onmessage may be taken away and set anew, and no message is lost meanwhile', async (ends) => {
      const { client, server, soon } = ends;
      const { transport } = server;
      const count = 20;
      const received: JsonRpcMessage[] = [];
      const all = new Promise<void>((resolve) => {
        const takeOne = () => {
          transport.onmessage = (message) => {
            transport.onmessage = undefined;
            if (received.push(message) === count) resolve();
            else void turns().then(takeOne); // others come meanwhile
          };
        };
        takeOne();
      });
      const sent = upTo(count).map((n) => client.transport.send(numbered(n)));
      await soon(Promise.all(sent), 'the sends');
      await soon(all, `${count} messages`);
      assert.deepEqual(numbersOf(received), upTo(count));
    }),

    connected('an onmessage that throws takes no other message with it', async ({ client, server, soon }) => {
      const own = new Error('thrown by a handler of the contract');
      server.reaction = () => {
        throw own;
      };
      await expecting(own, async () => {
        // Within one process it may come back to the sender.
        for (const n of upTo(3))
          await soon(
            client.transport.send(numbered(n)).catch(() => {}),
            'send()',
          );
        assert.deepEqual(numbersOf(await server.received(3)), upTo(3));
        await turns();
      });
      assert.deepEqual([client.closes, server.closes], [0, 0]);
    }),

    connected('an onclose that throws keeps the end from nobody', async ({ client, server, soon }) => {
      const own = new Error('thrown by a handler of the contract');
      let closes = 0;
      client.transport.onclose = () => {
        closes++;
        throw own;
      };
      await expecting(own, async () => {
        const closed = client.transport.close().catch((error: unknown) => assert.equal(error, own));
        await soon(closed, 'close()');
        await server.closed();
        // Whether it fails again is its own affair; it comes to an end.
        await soon(
          client.transport.close().catch(() => {}),
          'close() again',
        );
        await turns();
      });
      assert.deepEqual([closes, server.closes], [1, 1]);
    }),

    connected('a handler may close the transport', async ({ client, server, soon }) => {
      let closing: Promise<void> | undefined;
      server.reaction = () => {
        closing ??= server.transport.close();
      };
      await soon(
        client.transport.send(numbered(1)).catch(() => {}), // the end may come first
        'send()',
      );
      await server.closed();
      await client.closed();
      await soon(Promise.resolve(closing), 'close()');
      assert.deepEqual([client.closes, server.closes], [1, 1]);
    }),

    connected('no handler has to be there', async ({ client, server, soon }) => {
      for (const { transport } of [client, server]) {
        transport.onclose = undefined;
        transport.onerror = undefined;
      }
      await soon(client.transport.send(numbered(1)), 'send()');
      assert.deepEqual(await server.received(1), [numbered(1)]);
      await soon(client.transport.close(), 'close()');
      await soon(server.transport.close(), 'close()');
    }),

    connected('a client has no sessionId before setProtocolVersion()', async ({ client, server, soon }) => {
      // With one both MCP SDKs skip `initialize`: it would be a session that is resumed.
      assert.equal(client.transport.sessionId, undefined);
      for (const { transport } of [client, server]) {
        transport.setProtocolVersion?.('2025-11-25');
        assert.ok(transport.sessionId === undefined || transport.sessionId !== '');
      }
      const { sessionId } = client.transport;
      client.transport.setProtocolVersion?.('2025-11-25');
      assert.equal(client.transport.sessionId, sessionId);
      await soon(client.transport.send(numbered(1)), 'send()');
      assert.deepEqual(await server.received(1), [numbered(1)]);
    }),
  ];
}

/**
 * A handler's exception may become an uncaught one, as with event handlers. Test runners count that
 * as a failure; while `body` runs this one error is expected, and every other one goes where it
 * would have gone.
 */
async function expecting(own: Error, body: () => Promise<void>): Promise<void> {
  if (expected.size === 0) {
    runners = listeners();
    process.removeAllListeners('uncaughtException').on('uncaughtException', passOn);
  }
  expected.add(own);
  try {
    await body();
  } finally {
    expected.delete(own);
    if (expected.size === 0) {
      process.removeListener('uncaughtException', passOn);
      for (const runner of runners) process.on('uncaughtException', runner);
    }
  }
}

/** Of all cases that run at the moment. */
const expected = new Set<unknown>();
const listeners = () => process.listeners('uncaughtException');
let runners: ReturnType<typeof listeners> = [];

const passOn: ReturnType<typeof listeners>[number] = (error, origin) => {
  if (expected.has(error)) return;
  if (runners.length === 0) throw error;
  for (const runner of runners) runner.call(process, error, origin);
};
