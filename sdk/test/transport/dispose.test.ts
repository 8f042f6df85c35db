import assert from 'node:assert/strict';
import { test } from 'node:test';
import { listen, MemorySignaling, RendezvousError, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { testToken } from '../../../server/test/support/peer.ts';
import { RelayProcess } from '../../../test/support/relay.ts';
import { eventually } from '../../../test/support/wait.ts';

// Node 22 does not parse `await using`. This is what it calls.
const dispose = (disposable: AsyncDisposable): PromiseLike<void> => disposable[Symbol.asyncDispose]();

test('await using closes transports', async () => {
  const [left, right] = MemorySignaling.pair();
  const ends = [new WebRTCClientTransport({ signaling: left }), new WebRTCServerTransport({ signaling: right })];
  await Promise.all(ends.map((end) => end.start()));
  for (const end of ends.toReversed()) await dispose(end);
  assert.deepEqual(
    ends.map(({ state }) => state),
    ['closed', 'closed'],
  );
});

test('await using leaves the room of a listener and closes its sessions', async (t) => {
  const relay = await RelayProcess.start();
  t.after(() => relay.stop());
  const [server, client] = [
    await testToken({ room: 'used', role: 'server' }),
    await testToken({ room: 'used', role: 'client' }),
  ];
  const transport = new WebRTCClientTransport({ relay: relay.ws, token: client });
  const listener = await listen({ relay: relay.ws, token: server }, (own) => own.start());
  await transport.start();
  assert.equal(listener.state, 'joined');
  await dispose(listener);
  await eventually(() => transport.state === 'closed');
});

test('an authorize that throws is reported as such, and not as a failing handler', async (t) => {
  const relay = await RelayProcess.start();
  t.after(() => relay.stop());
  const [server, token] = [
    await testToken({ room: 'refused', role: 'server' }),
    await testToken({ room: 'refused', role: 'client' }),
  ];
  const cause = new Error('the directory is down');
  let handled = 0;
  const authorize = (): never => {
    throw cause;
  };
  const listener = await listen({ relay: relay.ws, token: server, authorize }, () => void handled++);
  t.after(() => listener.close());
  const errors: { code: string; message: string; cause?: unknown }[] = [];
  listener.onerror = (error) => void errors.push(error);
  await assert.rejects(new WebRTCClientTransport({ relay: relay.ws, token }).start(), { code: 'peer_refused' });
  assert.equal(handled, 0);
  assert.equal(errors.length, 1);
  assert.match(errors[0]?.message ?? '', /option authorize/);
  assert.doesNotMatch(errors[0]?.message ?? '', /handler/);
  assert.equal(errors[0]?.cause, cause);
});

test('the words with which authorize refuses a client are told to that client, and to nobody else', async (t) => {
  const relay = await RelayProcess.start();
  t.after(() => relay.stop());
  const tokenFor = (role: 'server' | 'client') => testToken({ room: 'refused', role });
  const authorize = (): never => {
    throw new RendezvousError('peer_refused', 'Ask Ada for another invitation.');
  };
  const listener = await listen({ relay: relay.ws, token: await tokenFor('server'), authorize }, () => assert.fail());
  t.after(() => listener.close());
  const errors: unknown[] = [];
  listener.onerror = (error) => void errors.push(error);
  await assert.rejects(new WebRTCClientTransport({ relay: relay.ws, token: await tokenFor('client') }).start(), {
    code: 'peer_refused',
    message: /Ask Ada for another invitation\.$/,
  });
  assert.deepEqual(errors, []);
});
