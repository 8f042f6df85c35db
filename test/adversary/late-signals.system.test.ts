import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  MemorySignaling,
  type Signaling,
  type SignalMessage,
  WebRTCClientTransport,
  WebRTCServerTransport,
} from 'mcp-rendezvous';
import { weriftEngine } from 'mcp-rendezvous/werift';
import { eventually, within } from '../support/wait.ts';
import { Hold } from './hold.ts';

/**
 * A signaling channel whose messages can be late, and then come all at once, as after a socket that
 * was lost.
 */
class LateSignaling implements Signaling {
  onmessage?: ((message: SignalMessage) => void) | undefined;
  late: SignalMessage[] | undefined;
  readonly #inner: Signaling;

  constructor(inner: Signaling) {
    this.#inner = inner;
    inner.onmessage = (message) => (this.late ? this.late.push(message) : this.onmessage?.(message));
  }

  start: Signaling['start'] = (role) => this.#inner.start(role);
  send: Signaling['send'] = (message) => this.#inner.send(message);
  close: Signaling['close'] = () => this.#inner.close();

  release(): void {
    const late = this.late ?? [];
    this.late = undefined;
    for (const message of late) this.onmessage?.(message);
  }
}

test('an offer, that it is given up, and the next one, all in one turn', async (t) => {
  const [near, far] = MemorySignaling.pair();
  const signaling = new LateSignaling(far);
  const offering = new Hold(weriftEngine);
  const server = new WebRTCServerTransport({ signaling: near, rtc: offering.engine });
  const client = new WebRTCClientTransport({ signaling, rtc: weriftEngine });
  t.after(() => Promise.all([server.close(), client.close()]));
  await Promise.all([server.start(), client.start()]);

  const givenUp = new Promise((resolve) => (server.onerror = resolve));
  signaling.late = [];
  offering.cut();
  await within(givenUp, 'the first offer to be given up');
  const kinds = () => signaling.late?.map(({ kind }) => kind) ?? [];
  await eventually(() => kinds().filter((kind) => kind === 'offer').length === 2);
  assert.deepEqual(kinds(), ['offer', 'bye', 'offer']);
  const before = offering.connections;
  signaling.release();
  await eventually(() => server.state === 'connected' && client.state === 'connected');
  assert.equal(offering.connections, before, 'without yet another offer');
});
