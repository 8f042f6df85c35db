import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemorySignaling, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { weriftEngine } from 'mcp-rendezvous/werift';
import { eventually } from '../../../test/support/wait.ts';

/**
 * What a page has and Node has not. Each listener can be called by itself, as in a page of its own.
 */
const listeners = new Set<() => void>();
Object.assign(globalThis, {
  addEventListener: (type: string, listener: () => void) => void (type === 'pagehide' && listeners.add(listener)),
  removeEventListener: (_type: string, listener: () => void) => void listeners.delete(listener),
});

test('a page that is left says goodbye, and nothing listens to it any more', async (t) => {
  const [left, right] = MemorySignaling.pair();
  const client = new WebRTCClientTransport({ signaling: left, rtc: weriftEngine });
  const server = new WebRTCServerTransport({ signaling: right, rtc: weriftEngine });
  t.after(() => Promise.all([client.close(), server.close()]));
  let closes = 0;
  client.onclose = server.onclose = () => void closes++;
  await Promise.all([client.start(), server.start()]);
  assert.equal(listeners.size, 2);
  const [leave] = listeners;
  leave!();
  // Without a goodbye the other side would take some 40 s to give the session up.
  await eventually(() => closes === 2, 30_000, 'the end of both');
  assert.deepEqual([client.state, server.state, listeners.size], ['closed', 'closed', 0]);
});
