import { listen, type Listener, WebRTCClientTransport } from 'mcp-rendezvous';
import { testToken } from '../../server/test/support/peer.ts';
import { type Session, connect } from '../mcp/clients.ts';
import { Witness } from '../mcp/fixture.ts';
import { createServerV1 } from '../mcp/server-v1.ts';
import type { Fleet } from './fleet.ts';

const everyMs = 1000;

/** MCP sessions over WebRTC that ask their servers something numbered every second. */
export class Sessions {
  requests = 0;
  failed = 0;
  /** Data channels that closed. */
  closed = 0;
  /** The longest that a request took, in milliseconds. */
  slowest = 0;
  readonly #listeners: Listener[] = [];
  readonly #sessions: Session[] = [];
  readonly #timers: NodeJS.Timeout[] = [];
  #stopped = false;

  get size(): number {
    return this.#sessions.length;
  }

  /** Rooms of one server and two clients, on one instance and on two. */
  async open(fleet: Fleet, rooms: number): Promise<void> {
    for (let index = 0; index < rooms; index++) {
      const room = `sessions-${index}`;
      const home = index % fleet.instances.length;
      await fleet.at(home, () => this.serve(fleet, room));
      await fleet.at(home, () => this.join(fleet, room, 'near'));
      await fleet.at((home + 1) % fleet.instances.length, () => this.join(fleet, room, 'far'));
    }
  }

  /**
   * A room's server. @param onconnection is called when a client's offer has arrived, before it is
   * answered
   */
  async serve(fleet: Fleet, room: string, onconnection?: () => unknown): Promise<void> {
    const token = await testToken({ room, role: 'server' });
    const listener = await listen({ relay: fleet.url, token, connectTimeoutMs: 60_000 }, async (transport) => {
      await onconnection?.();
      await createServerV1(new Witness()).connect(transport);
    });
    this.#listeners.push(listener);
  }

  /** A client of a room; resolves when it has got through to the server. */
  async join(fleet: Fleet, room: string, subject: string): Promise<void> {
    const token = await testToken({ room, role: 'client', subject });
    const transport = new WebRTCClientTransport({ relay: fleet.url, token, connectTimeoutMs: 60_000 });
    const session = await connect('v1', transport);
    session.events.on('closed', () => {
      if (!this.#stopped) this.closed++;
    });
    this.#sessions.push(session);
    this.#timers.push(setInterval(() => void this.#ask(session), everyMs));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.all(this.#sessions.map((session) => session.close()));
    await Promise.all(this.#listeners.map((listener) => listener.close()));
  }

  async #ask(session: Session): Promise<void> {
    const text = `request ${++this.requests}`;
    const asked = performance.now();
    const answer = await session.call('echo', { text }).then(
      (result) => result.text,
      (error: unknown) => String(error),
    );
    if (this.#stopped) return;
    if (answer !== text) this.failed++;
    this.slowest = Math.max(this.slowest, performance.now() - asked);
  }
}
