import assert from 'node:assert/strict';
import { after, before, suite, test, type TestContext } from 'node:test';
import * as fc from 'fast-check';
import { createSecret, fromBase64Url, secretKeyBytes, toBase64Url } from 'mcp-rendezvous-protocol';
import { type RunningApp, startApp } from '../../server/test/support/app.ts';
import { fields } from '../../sdk/src/link/transcript.ts';
import { NoiseHandshake, type NoiseSession } from '../../sdk/src/relayed/noise.ts';
import { loadPrimitives } from '../../sdk/src/relayed/primitives.ts';
import { sampled } from '../support/full.ts';
import { eventually } from '../support/wait.ts';
import { type Deeds, EvilRelay, type From } from './evil-relay.ts';
import { BlockableEngine, came, type End, newPair, type PairOptions } from './pair.ts';

let app: RunningApp;
before(async () => {
  await loadPrimitives();
  app = await startApp(undefined);
});
after(() => app.close());

/** Does something to one piece of data, the nth of a direction, and then nothing any more. */
function once(
  nth: number,
  direction: From,
  deed: (data: Uint8Array, held: Uint8Array[]) => Uint8Array[],
): NonNullable<Deeds['data']> {
  let count = 0;
  const held: Uint8Array[] = [];
  return (data, from) => {
    if (from !== direction) return [data];
    count++;
    return count === nth || (count === nth + 1 && held.length > 0) ? deed(data, held) : [data];
  };
}

const deeds: Record<string, (data: Uint8Array, held: Uint8Array[]) => Uint8Array[]> = {
  'flips a bit': (data) => [data.with(data.length - 3, data.at(-3)! ^ 4)],
  'flips a bit of the number of the path': (data) => [data.with(3, data[3]! ^ 1)],
  'drops one': () => [],
  'repeats one': (data) => [data, data],
  'exchanges two': (data, held) => (held.length === 0 ? (held.push(data), []) : [data, held.pop()!]),
  'cuts one short': (data) => [data.slice(0, -1)],
  'says that the path is over': (data) => [data.slice(0, 4), data],
  'adds one of its own': (data) => [
    Uint8Array.of(...data.slice(0, 4), ...crypto.getRandomValues(new Uint8Array(40))),
    data,
  ],
};

/** Where in the life of a session the relay cheats. */
const stages = {
  'on the first path': async () => {},
  'after it fell back': async ({ rtc, client, server }: Scene) => {
    rtc.unblock();
    await eventually(() => client.transport.path === 'direct' && server.transport.path === 'direct');
    rtc.blocked = true;
    rtc.cut();
    await eventually(() => client.transport.path === 'relayed' && server.transport.path === 'relayed');
  },
  'after the client resumed at the relay': async ({ evil }: Scene) => evil.drop('client'),
  'after the server resumed at the relay': async ({ evil }: Scene) => evil.drop('server'),
  'after the client restarted': async (scene: Scene) => scene.restart('client'),
  'after the server restarted': async (scene: Scene) => scene.restart('server'),
} satisfies Record<string, (scene: Scene) => Promise<void>>;

const directions = ['client', 'server'] as const;

/** A session through an evil relay, which an end may have begun anew. */
class Scene {
  readonly evil: EvilRelay;
  readonly rtc = new BlockableEngine(true);
  client!: End;
  server!: End;
  room!: string;
  readonly #t: TestContext;
  readonly #options: () => PairOptions;

  private constructor(t: TestContext, evil: EvilRelay, secrets: Pick<PairOptions, 'client' | 'server'>) {
    this.evil = evil;
    this.#t = t;
    const { rtc } = this;
    this.#options = () => ({ client: { rtc, ...secrets.client }, server: { rtc, ...secrets.server } });
  }

  static async begin(t: TestContext, secrets: Pick<PairOptions, 'client' | 'server'> = {}): Promise<Scene> {
    const scene = new Scene(t, await EvilRelay.start(t, app.url), secrets);
    await scene.#pair();
    return scene;
  }

  /** A process ends, and another one of the same subject begins; the other side serves it. */
  async restart(end: From): Promise<void> {
    await this[end].transport.close();
    await this.end();
    await this.#pair();
  }

  /** Before the relay goes: a goodbye that nobody passes on takes its time. */
  async end(): Promise<void> {
    await Promise.all([this.client.transport.close(), this.server.transport.close()]);
  }

  /** The ends of a room, not started. */
  async meet(): Promise<void> {
    const options = { ...this.#options(), ...(this.room === undefined ? {} : { room: this.room }) };
    Object.assign(this, await newPair(this.#t, this.evil.url, options));
  }

  async #pair(): Promise<void> {
    await this.meet();
    await Promise.all([this.server.transport.start(), this.client.transport.start()]);
  }
}

/** Some of all cases, another choice for each seed; with --full every one. */
function chosen<T>(cases: T[]): T[] {
  const count = sampled(cases.length);
  return fc.sample(fc.shuffledSubarray(cases, { minLength: count, maxLength: count }), { numRuns: 1, seed })[0]!;
}
const seed = Number(process.env['EVIL_SEED'] ?? Date.now() % 1_000_000);

void suite(`a relay that cheats on the relayed path (EVIL_SEED=${seed})`, () => {
  const cases = Object.keys(deeds).flatMap((deed) =>
    directions.flatMap((direction) => Object.keys(stages).map((stage) => ({ deed, direction, stage }))),
  );
  for (const { deed, direction, stage } of chosen(cases)) {
    test(`${deed}, of the ${direction}'s, ${stage}: every message comes once, in order, and is read by nobody`, async (t) => {
      const scene = await Scene.begin(t);
      await stages[stage as keyof typeof stages](scene);
      const { evil, client, server } = scene;
      evil.deeds = { data: once(4, direction, deeds[deed]!) };
      for (let n = 0; n < 30; n++) await Promise.all([client.number(n, n + 1), server.number(n, n + 1)]);
      await came(server, 30);
      await came(client, 30);
      const seen = Buffer.concat(evil.seen).toString('latin1');
      assert.ok(!seen.includes('jsonrpc') && !seen.includes('"method"'));
      await scene.end();
      for (const { errors } of [client, server]) assert.ok(!errors.some(untrusted), String(errors));
    });
  }

  test('what it has recorded of one session it cannot play in another, nor later in the same one', async (t) => {
    const scene = await Scene.begin(t);
    const { evil, client, server } = scene;
    await client.number(0, 5);
    await came(server, 5);
    const recorded = evil.seen.splice(0);
    for (const data of recorded) evil.inject('server', data);
    await client.number(5, 10);
    await came(server, 10);
    await scene.restart('client');
    for (const data of recorded) evil.inject('server', data);
    await scene.client.number(0, 5);
    await came(scene.server, 5);
    await came(server, 10);
    await scene.end();
  });
});

const untrusted = (error: Error): boolean => (error as { code?: string }).code === 'path_untrusted';

/** Between the handshakes of both, with a secret of its own or none. */
function middle(evil: EvilRelay, { room, key }: { room: string; key?: Uint8Array | undefined }): { read: string[] } {
  const read: string[] = [];
  const begin = (gen: number, initiator: boolean): NoiseHandshake =>
    new NoiseHandshake({
      initiator,
      psk: key,
      prologue: fields('mcp-rendezvous relayed 1', '', room, 'client', 'client-1', 'server', '', String(gen)),
    });
  let toServer: NoiseHandshake | undefined;
  let toClient: NoiseHandshake | undefined;
  let sessions: Record<From, NoiseSession> | undefined;
  evil.deeds = {
    signal(data, from) {
      if (data.body?.noise === undefined) return;
      if (from === 'client' && !toServer) {
        toClient = begin(data.gen, false);
        toClient.read(fromBase64Url(data.body.noise));
        toServer = begin(data.gen, true);
        data.body.noise = toBase64Url(toServer.write());
      } else if (from === 'server' && toServer && toClient && !sessions) {
        const payload = toServer.read(fromBase64Url(data.body.noise));
        read.push(Buffer.from(payload).toString());
        data.body.noise = toBase64Url(toClient.write(payload));
        sessions = { client: toClient.split(), server: toServer.split() };
      }
    },
    data(data, from) {
      if (!sessions || data.length === 4) return [data];
      const plain = sessions[from].receive.open(data.subarray(4));
      read.push(Buffer.from(plain).toString('latin1'));
      const other = from === 'client' ? sessions.server : sessions.client;
      return [Uint8Array.of(...data.subarray(0, 4), ...other.send.seal(plain))];
    },
  };
  return { read };
}

/** Puts handshakes of its own in the place of the peers', as far as it can. */
function forger({
  room,
  swap,
  key,
  client,
}: {
  room: string;
  swap: string;
  key: Uint8Array | undefined;
  client: string;
}) {
  const read: string[] = [];
  const begin = (gen: number, initiator: boolean, subject: string): NoiseHandshake =>
    new NoiseHandshake({
      initiator,
      psk: key,
      prologue: fields('mcp-rendezvous relayed 1', '', room, 'client', subject, 'server', '', String(gen)),
    });
  const attack: Deeds = {
    signal(data, from) {
      const { noise } = data.body ?? {};
      if (noise === undefined) return;
      const length = fromBase64Url(noise).length;
      if (from === 'client' && swap !== 'message 2') {
        data.body!.noise = toBase64Url(begin(data.gen, true, client).write());
      } else if (from === 'server' && swap !== 'message 1') {
        const answer = begin(data.gen, false, 'client-1');
        try {
          // Of what the client said, if it can read that.
          answer.read(fromBase64Url(first));
          const said = JSON.stringify({ subject: 'server-1', hello });
          data.body!.noise = toBase64Url(answer.write(new TextEncoder().encode(said)));
          sessions = answer.split();
        } catch {
          data.body!.noise = toBase64Url(crypto.getRandomValues(new Uint8Array(length)));
        }
      }
      if (from === 'client') first = noise;
    },
    data(data, from) {
      if (from !== 'client' || !sessions || data.length === 4) return [data];
      try {
        read.push(Buffer.from(sessions.receive.open(data.subarray(4))).toString('latin1'));
      } catch {
        // It is for the server.
      }
      return [data];
    },
  };
  const hello = { nonce: toBase64Url(new Uint8Array(32)), maxMessageBytes: 1_000_000, received: 0, auth: 'secret' };
  let first = '';
  let sessions: NoiseSession | undefined;
  return { deeds: attack, read };
}

const settled = (starting: Promise<void>): Promise<unknown> =>
  starting.then(
    () => 'started',
    (error: { code?: string }) => error.code,
  );

async function between(t: TestContext, options: PairOptions, key?: Uint8Array) {
  const evil = await EvilRelay.start(t, app.url);
  const ends = await newPair(t, evil.url, options);
  const { read } = middle(evil, { room: ends.room, key });
  return { ...ends, read };
}

void suite('a relay that swaps the keys of the relayed path', () => {
  /** Each invitee has a secret of its own; the relay was invited, too. */
  const [secret, others] = [createSecret(), createSecret()];
  const keys: Record<string, Uint8Array | undefined> = {
    'no secret': undefined,
    'a secret of its own': secretKeyBytes(createSecret()),
    "another invitee's secret": secretKeyBytes(others),
  };
  const secrets = {
    client: { secret },
    server: { secret: ({ subject }: { subject: string }) => (subject === 'client-2' ? others : secret) },
  };
  /** A session that goes on has proofs of its own, and a restart begins another one. */
  const moments = ['on the first path', 'as it falls back', 'as the client restarts', 'as the server restarts'];
  const swaps = ['message 1', 'message 2', 'both messages'];
  const cases = Object.keys(keys).flatMap((key) =>
    moments.flatMap((moment) =>
      swaps.flatMap((swap) => [false, true].map((renames) => ({ key, moment, swap, renames }))),
    ),
  );
  for (const { key, moment, swap, renames } of chosen(cases)) {
    const named = renames ? ', and says that the client is another invitee' : '';
    test(`swaps ${swap} ${moment}, with ${key}${named}: it reads nothing, and no message gets in`, async (t) => {
      const scene = await Scene.begin(t, secrets);
      const attacked = { client: scene.client, server: scene.server };
      await scene.client.number(0, 2);
      await came(scene.server, 2);
      if (moment === 'as it falls back') {
        scene.rtc.unblock();
        await eventually(() => [scene.client, scene.server].every(({ transport }) => transport.path === 'direct'));
      } else {
        await scene[moment === 'as the server restarts' ? 'server' : 'client'].transport.close();
        await scene.end();
      }
      const { evil } = scene;
      const attack = forger({ room: scene.room, swap, key: keys[key], client: renames ? 'client-2' : 'client-1' });
      evil.deeds = attack.deeds;
      if (renames) evil.deeds.claims = (claims, to) => to === 'server' && (claims.sub = 'client-2');
      if (moment === 'as it falls back') {
        scene.rtc.blocked = true;
        scene.rtc.cut();
        await eventually(() => attacked.client.closed === 1 && attacked.server.closed === 1);
        for (const { errors } of [attacked.client, attacked.server]) assert.ok(errors.some(untrusted), String(errors));
      } else {
        await scene.meet();
        // It may go on waiting for another client.
        scene.server.transport.start().catch(() => {});
        assert.equal(await settled(scene.client.transport.start()), 'secret_mismatch');
        assert.deepEqual([scene.client.messages, scene.server.messages], [[], []]);
      }
      assert.deepEqual([attacked.server.numbers, attacked.client.numbers], [[0, 1], []]);
      assert.ok(!attack.read.some((text) => text.includes('jsonrpc')), String(attack.read));
      await scene.end();
    });
  }

  test('without a secret it reads until the session moves: then that ends with path_untrusted', async (t) => {
    const rtc = new BlockableEngine(false);
    rtc.blocked = true;
    const { client, server, read } = await between(t, { client: { rtc }, server: { rtc } });
    await Promise.all([server.transport.start(), client.transport.start()]);
    await client.number(0, 3);
    await came(server, 3);
    assert.ok(read.some((text) => text.includes('jsonrpc')));
    rtc.unblock();
    await eventually(() => client.closed === 1 && server.closed === 1);
    for (const { errors } of [client, server]) {
      assert.ok(
        errors.some((error) => (error as { code?: string }).code === 'path_untrusted'),
        String(errors),
      );
    }
  });
});
