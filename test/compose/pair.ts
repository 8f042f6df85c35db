import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { listen, WebRTCClientTransport } from 'mcp-rendezvous';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { connect, type Session } from '../mcp/clients.ts';
import { Witness } from '../mcp/fixture.ts';
import { serve } from '../mcp/servers.ts';
import { within } from '../support/wait.ts';

const deadlineMs = 60_000;

/**
 * An MCP server and a client of it in one room, with MCP requests going to and fro all the time.
 */
export class Pair {
  readonly room: string;
  readonly #relay: string;
  readonly #key: string;
  readonly #close: (() => Promise<unknown>)[] = [];
  readonly #failures: unknown[] = [];
  #beats = 0;
  #beating: Promise<void> | undefined;
  #ended = false;

  private constructor(relay: string, key: string) {
    this.room = `room-${crypto.randomUUID()}`;
    this.#relay = relay;
    this.#key = key;
  }

  static async connect(relay: string, key: string): Promise<Pair> {
    const pair = new Pair(relay, key);
    try {
      await pair.#begin();
    } catch (error) {
      await pair.close();
      throw error;
    }
    return pair;
  }

  /** Another client joins, is answered, and goes: signaling works. */
  async visit(): Promise<void> {
    const session = await this.#join(`visitor-${crypto.randomUUID()}`);
    assert.equal((await session.call('echo', { text: 'visit' })).text, 'visit');
    await session.close();
  }

  /**
   * Resolves when MCP has got through again; rejects when it once did not since the pair connected.
   */
  async alive(): Promise<void> {
    const before = this.#beats;
    const end = performance.now() + deadlineMs;
    while (this.#beats < before + 2 && this.#failures.length === 0 && performance.now() < end) await sleep(20);
    assert.deepEqual(this.#failures, []);
    assert.ok(this.#beats >= before + 2, 'MCP does not get through');
  }

  async close(): Promise<void> {
    this.#ended = true;
    await this.#beating;
    for (const close of this.#close.splice(0).toReversed()) await close();
  }

  async #begin(): Promise<void> {
    const options = { relay: this.#relay, token: await this.#token('server') };
    const listener = await listen(options, (transport) => serve('v2', transport, new Witness()));
    this.#close.push(() => listener.close());
    const session = await this.#join('client');
    this.#close.push(() => session.close());
    this.#beating = this.#beat(session);
  }

  async #join(subject: string): Promise<Session> {
    const token = await this.#token('client', subject);
    return await connect(
      'v2 legacy',
      new WebRTCClientTransport({ relay: this.#relay, token, connectTimeoutMs: deadlineMs }),
    );
  }

  #token(role: 'server' | 'client', subject: string = role): Promise<string> {
    return createRoomToken({ key: this.#key, room: this.room, role, subject, ttl: '1h' });
  }

  async #beat(session: Session): Promise<void> {
    while (!this.#ended) {
      const text = `${this.#beats}`;
      try {
        const answer = await within(session.call('echo', { text }), `MCP request ${text} is answered`, deadlineMs);
        assert.equal(answer.text, text);
      } catch (error) {
        this.#failures.push(error);
        return;
      }
      this.#beats++;
      await sleep(100); // the pace of the requests
    }
  }
}
