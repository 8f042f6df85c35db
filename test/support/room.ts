import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { createRoomToken } from 'mcp-rendezvous-protocol/token';
import { Cli, fixture } from '../../sdk/test/cli/support/process.ts';
import { type RelayProcess, testSecret } from './relay.ts';

/** A room of a test's own, with its tokens and the command line in it. */
export class Room {
  readonly name = `room-${crypto.randomUUID()}`;
  readonly #relay: RelayProcess;
  readonly #key: string;
  readonly #ttl: number;

  constructor(relay: RelayProcess, { key = testSecret, ttl = 600 }: { key?: string; ttl?: number } = {}) {
    this.#relay = relay;
    this.#key = key;
    this.#ttl = ttl;
  }

  token(role: 'server' | 'client', subject: string = role, ttl = this.#ttl): Promise<string> {
    return createRoomToken({ key: this.#key, room: this.name, role, subject, ttl });
  }

  /** What `expose` or `connect` needs to know. */
  async env(role: 'server' | 'client', subject?: string) {
    return { MCP_RENDEZVOUS_RELAY: this.#relay.url, MCP_RENDEZVOUS_TOKEN: await this.token(role, subject) };
  }

  async expose(t: TestContext, command = fixture(), ...flags: string[]): Promise<Cli> {
    return new Cli(t, ['expose', ...flags, '--', ...command], await this.env('server'));
  }

  async connect(t: TestContext, subject?: string, ...flags: string[]): Promise<Cli> {
    return new Cli(t, ['connect', ...flags], await this.env('client', subject));
  }
}

/** A room with a shared fixture server, and a client that has got through to the process `pid`. */
export async function sharedFixture(t: TestContext, relay: RelayProcess, command = fixture()) {
  const room = new Room(relay);
  const expose = await room.expose(t, command);
  const client = await room.connect(t);
  assert.equal((await client.request('initialize')).error, undefined);
  const { pid } = (await client.request('seen')).result as { pid: number };
  return { room, expose, client, pid };
}
