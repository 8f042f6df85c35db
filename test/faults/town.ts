import { type PeerState, RelayConnection } from 'mcp-rendezvous';
import { testToken } from '../../server/test/support/peer.ts';
import { eventually } from '../support/wait.ts';
import type { Fleet } from './fleet.ts';
import { Lane, read, type Stream } from './stream.ts';

/** A signaling-only peer of the SDK and everything that it was told. */
class Resident {
  readonly connection: RelayConnection;
  /** The instance that it began on. */
  readonly home: number;
  /** The others in its room as it knows them. */
  readonly view = new Map<string, PeerState>();
  /** How often it was told that a peer is gone, by the peer's id. */
  readonly gone = new Map<string, number>();
  /** When its socket was lost, and when it had joined again. */
  readonly absences: { lost: number; back: number | undefined }[] = [];
  /** Somebody came whom it did not know. */
  onarrival: ((peer: string) => void) | undefined;
  /** The final verdict, if there was one. */
  verdict: string | undefined;

  constructor(url: string, token: string, home: number) {
    this.home = home;
    this.connection = new RelayConnection({ relay: url, token });
    this.connection.onpeer = ({ id }, state) => {
      if (state === 'gone') {
        this.view.delete(id);
        this.gone.set(id, (this.gone.get(id) ?? 0) + 1);
        return;
      }
      // One that was gone may come back.
      const isNew = !this.view.has(id) && !this.gone.has(id);
      this.view.set(id, state);
      if (isNew) this.onarrival?.(id);
    };
    this.connection.onstatechange = (state) => {
      const now = performance.now();
      if (state === 'reconnecting') this.absences.push({ lost: now, back: undefined });
      const last = this.absences.at(-1);
      if (state === 'joined' && last) last.back ??= now;
    };
    this.connection.onclose = (error) => (this.verdict = error?.code);
  }
}

interface House {
  server: Resident;
  clients: Resident[];
}

/**
 * Rooms of one server and two clients each, who send each other numbered signals all the time. The
 * first client begins on the server's instance, the second one on the next.
 */
export class Town {
  readonly #houses: House[] = [];
  readonly #lanes: Lane[] = [];
  readonly #perSecond: number;

  /** @param perSecond signals from each peer to each of its partners */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** Settles `rooms` rooms; resolves when everybody sees everybody and every lane is in use. */
  async settle(fleet: Fleet, rooms: number): Promise<void> {
    const size = fleet.instances.length;
    const plans = Array.from({ length: rooms }, (_, index) => ({ name: `town-${index}`, home: index % size }));
    for (const { name, home } of plans) {
      const place = async (role: 'server' | 'client', subject: string, at: number): Promise<Resident> =>
        new Resident(fleet.url, await testToken({ room: name, role, subject }), at);
      const server = await place('server', 'server', home);
      const clients = [await place('client', 'near', home), await place('client', 'far', (home + 1) % size)];
      this.#open({ server, clients });
    }
    for (let index = 0; index < size; index++) {
      const moving = this.#residents.filter(({ home }) => home === index);
      await fleet.at(index, () => Promise.all(moving.map(({ connection }) => connection.start())));
    }
    await this.whole();
    await eventually(() => this.streams.every(({ arrivals }) => arrivals.length > 0), 20_000, 'every lane is in use');
  }

  get streams(): Stream[] {
    return this.#lanes.flatMap((lane) => lane.streams);
  }

  /** Signals that have not arrived. */
  get missing(): number {
    return this.streams.reduce((sum, { missing }) => sum + missing, 0);
  }

  /**
   * How long after `since` the last pair had signals arrive in both directions, in milliseconds;
   * infinite when that did not happen before the deadline.
   */
  async flowing(since: number, deadlineMs = 40_000): Promise<number> {
    const first = ({ arrivals }: Stream): number =>
      arrivals.find(({ at }) => at >= since)?.at ?? Number.POSITIVE_INFINITY;
    const slowest = (): number => Math.max(...this.streams.map(first));
    // Infinite.
    await eventually(() => slowest() < Number.POSITIVE_INFINITY, deadlineMs, 'flowing').catch(() => undefined);
    return slowest() - since;
  }

  /** Channels that ended although nobody closed them, by why. */
  get broken(): string[] {
    return this.#lanes.flatMap(({ broken }) => broken ?? []);
  }

  /** Final verdicts of the relay. */
  get verdicts(): string[] {
    return this.#residents.flatMap(({ verdict }) => verdict ?? []);
  }

  get peers(): number {
    return this.#residents.length;
  }

  /** Pairs of which one began on this instance and the other elsewhere. */
  apart(home: number): number {
    const pairs = this.#houses.flatMap(({ server, clients }) => clients.map((client) => [client.home, server.home]));
    return pairs.filter(([client, server]) => (client === home) !== (server === home)).length;
  }

  /** Sockets that were lost. */
  get absences(): { lost: number; back: number | undefined }[] {
    return this.#residents.flatMap(({ absences }) => absences);
  }

  /** Resolves when all who began on this instance have lost their sockets and have joined again. */
  async returned(home: number, deadlineMs = 30_000): Promise<void> {
    const movers = this.#residents.filter((resident) => resident.home === home);
    const back = (): boolean =>
      movers.every(({ absences }) => absences.length > 0 && absences.every((each) => each.back));
    await eventually(back, deadlineMs, 'all are back').catch(() => undefined); // counted then
  }

  /** How often a peer was told that another one is gone. */
  get announcedGone(): number {
    return this.#residents.flatMap(({ gone }) => [...gone.values()]).reduce((sum, times) => sum + times, 0);
  }

  /** The most often that one peer was told that the same other one is gone. */
  get mostGone(): number {
    return Math.max(0, ...this.#residents.flatMap(({ gone }) => [...gone.values()]));
  }

  /**
   * Peers whose view of their room is not the truth: somebody missing, a ghost, or somebody not
   * online.
   */
  get mistaken(): number {
    const online = (view: Map<string, PeerState>, others: Resident[]): boolean =>
      view.size === others.length && others.every(({ connection: { id } }) => view.get(id ?? '') === 'online');
    return this.#houses.reduce((count, { server, clients }) => {
      const wrong = clients.filter(({ view }) => !online(view, [server])).length;
      return count + wrong + (online(server.view, clients) ? 0 : 1);
    }, 0);
  }

  /** Resolves when everybody's view of their room is the truth. */
  async whole(deadlineMs = 30_000): Promise<void> {
    // Counted then.
    await eventually(() => this.mistaken === 0, deadlineMs, 'presence is whole').catch(() => undefined);
  }

  /** Ends the sending and waits until everything has arrived, or could have. */
  async drain(deadlineMs = 30_000): Promise<void> {
    for (const lane of this.#lanes) lane.stop();
    // Counted then.
    await eventually(() => this.missing === 0, deadlineMs, 'all arrived').catch(() => undefined);
  }

  async stop(): Promise<void> {
    for (const lane of this.#lanes) lane.stop();
    await Promise.all(this.#residents.map(({ connection }) => connection.close()));
  }

  get #residents(): Resident[] {
    return this.#houses.flatMap(({ server, clients }) => [server, ...clients]);
  }

  #open(house: House): void {
    this.#houses.push(house);
    const { server, clients } = house;
    const lanes = new Map<number, Lane>();
    for (const client of clients) {
      client.onarrival = (peer) => {
        const lane = new Lane(client.home === server.home, this.#perSecond);
        lanes.set(lane.name, lane);
        this.#lanes.push(lane);
        lane.attach(client.connection.channel(peer), 'client');
      };
    }
    server.connection.onchannel = (channel) => {
      // Its first message says which lane it is.
      channel.onmessage = (message) => {
        lanes.get(read(message).lane)?.attach(channel, 'server');
        channel.onmessage?.(message);
      };
      void channel.start();
    };
  }
}
