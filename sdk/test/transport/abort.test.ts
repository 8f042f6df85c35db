import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { suite, test, type TestContext } from 'node:test';
import { listen, MemorySignaling, RelayConnection, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { testToken } from '../../../server/test/support/peer.ts';
import { RelayProcess } from '../../../test/support/relay.ts';
import { eventually } from '../../../test/support/wait.ts';

/** What may be aborted. */
type Start = (signal: AbortSignal) => Promise<unknown>;
/** How far it gets, and a way to know that it has got there. */
interface Stage {
  relay: string;
  token: string | (() => Promise<string>);
  reached: () => boolean;
}

/** A relay that takes connections and says nothing. */
async function silent(t: TestContext): Promise<{ relay: string; sockets: Socket[] }> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => void sockets.push(socket)).listen(0, '127.0.0.1');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  await once(server, 'listening');
  return { relay: `ws://127.0.0.1:${(server.address() as AddressInfo).port}`, sockets };
}

const stages: Record<string, (t: TestContext, token: string) => Promise<Stage>> = {
  'before it began': async () => ({ relay: 'ws://127.0.0.1:1', token: 'a.b.c', reached: () => true }),
  'while the token is fetched': async () => {
    let asked = false;
    const token = () => {
      asked = true;
      return new Promise<string>(() => {});
    };
    return { relay: 'ws://127.0.0.1:1', token, reached: () => asked };
  },
  'while the relay does not answer': async (t, token) => {
    const { relay, sockets } = await silent(t);
    return { relay, token, reached: () => sockets.length > 0 };
  },
};

const kinds: Record<string, (stage: Stage) => Start> = {
  'a client': (stage) => (signal) => new WebRTCClientTransport({ ...stage, signal }).start(),
  'a server': (stage) => (signal) => new WebRTCServerTransport({ ...stage, signal }).start(),
  listen: (stage) => (signal) => listen({ ...stage, signal }, () => {}),
  'a relay connection': (stage) => (signal) => new RelayConnection(stage).start(signal),
};

async function assertAborts(start: Start, reached: () => boolean, early: boolean): Promise<void> {
  // Not an Error: it has to be the very same value.
  const reason = { why: 'the user has closed the window' };
  const abort = new AbortController();
  if (early) abort.abort(reason);
  const started = start(abort.signal).then(
    () => assert.fail('it started'),
    (thrown: unknown) => thrown,
  );
  await eventually(reached);
  abort.abort(reason);
  assert.equal(await started, reason);
}

void suite('what is aborted rejects with the reason of the signal', { concurrency: 4 }, () => {
  for (const [when, prepare] of Object.entries(stages)) {
    for (const [kind, starter] of Object.entries(kinds)) {
      test(`${kind}, ${when}`, async (t) => {
        const role = kind === 'a server' || kind === 'listen' ? 'server' : 'client';
        const stage = await prepare(t, await testToken({ room: 'aborted', role }));
        await assertAborts(starter(stage), stage.reached, when === 'before it began');
      });
    }
  }

  for (const role of ['client', 'server'] as const) {
    test(`a ${role} that is alone in the room`, async (t) => {
      const relay = await RelayProcess.start();
      t.after(() => relay.stop());
      const Transport = role === 'client' ? WebRTCClientTransport : WebRTCServerTransport;
      const token = await testToken({ room: 'alone', role });
      let joined = false;
      const ondiagnostic = ({ type }: { type: string }) => void (joined ||= type === 'joined');
      const start: Start = (signal) => new Transport({ relay: relay.ws, token, ondiagnostic, signal }).start();
      await assertAborts(start, () => joined, false);
    });

    test(`a ${role} that is alone on signaling of its own`, async () => {
      const [signaling] = MemorySignaling.pair();
      const Transport = role === 'client' ? WebRTCClientTransport : WebRTCServerTransport;
      let connecting = false;
      const ondiagnostic = ({ type }: { type: string }) => void (connecting ||= type === 'state');
      await assertAborts(
        (signal) => new Transport({ signaling, ondiagnostic, signal }).start(),
        () => connecting,
        false,
      );
    });
  }
});
