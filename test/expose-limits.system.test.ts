import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import { RelayConnection, WebRTCClientTransport } from 'mcp-rendezvous';
import { weriftEngine } from 'mcp-rendezvous/werift';
import { variables } from '../sdk/src/cli/variables.ts';
import { json, result, serve } from '../sdk/test/cli/support/http.ts';
import { Cli, fixture, until } from '../sdk/test/cli/support/process.ts';
import { RelayProcess, testSecret } from './support/relay.ts';
import { Room } from './support/room.ts';

/** A rejection is quick: far below any time limit, on a busy machine, too. */
const quickMs = 25_000;
const [command, ...args] = fixture();

/** The relay's secrets, and every variable of the command line's. */
const secrets = Object.fromEntries(
  [...Object.values<string>(variables), 'MCP_RENDEZVOUS_FUTURE', 'ADMIN_TOKEN', 'TURN_SECRET'].map((name) => [
    name,
    // An invalid secret or invitation would be refused at the start.
    name === variables.secret || name === variables.invitation ? '' : `value of ${name}`,
  ]),
);

void suite('what expose keeps to itself', { concurrency: 3 }, () => {
  let relay: RelayProcess;
  before(async () => {
    relay = await RelayProcess.start();
  });
  after(() => relay.stop());

  /** A client that has got through to the server. */
  const initialized = async (t: TestContext, room: Room, subject?: string): Promise<Cli> => {
    const client = await room.connect(t, subject);
    const { error } = await client.request('initialize');
    assert.equal(error, undefined, JSON.stringify(error));
    return client;
  };
  /** The error of an attempt, after which the client goes: it would try again. */
  const attempt = async (t: TestContext, room: Room, subject?: string, ms?: number) => {
    const client = await room.connect(t, subject);
    const { error } = await client.request('initialize', undefined, ms);
    if (error) {
      client.process.stdin.end();
      await client.exit();
    }
    return error;
  };
  const refused = async (t: TestContext, room: Room, subject?: string): Promise<void> => {
    const error = await attempt(t, room, subject, quickMs);
    assert.deepEqual(error?.data, { code: 'busy', retryable: true });
    assert.match(error?.message ?? '', /is reached\. Close a session, or try again later\./);
  };
  const admitted = (t: TestContext, room: Room): Promise<void> =>
    until('a free slot', async () => !(await attempt(t, room)));

  test('a command: --max-sessions clients, and the next one is told at once; a client that leaves makes room', async (t) => {
    const room = new Room(relay);
    const expose = await room.expose(t, undefined, '--max-sessions', '2', '--debug');
    const first = await initialized(t, room, 'a');
    await initialized(t, room, 'b');
    await refused(t, room, 'c');
    await refused(t, room, 'a');
    await expose.says(/The limit of 2 sessions is reached/);
    first.process.stdin.end();
    await admitted(t, room);
    // Three sessions, and the one that is kept warm: who was refused had no process.
    await until('the processes', () => new Set(expose.stderr.match(/server \d+ is process/g)).size === 4);
    assert.equal(expose.process.exitCode, null);
  });

  test('an endpoint', async (t) => {
    const room = new Room(relay);
    const endpoint = await serve(t, ({ response, body }) =>
      body ? json(response, result(body.id, { serverInfo: {} })) : response.writeHead(200).end(),
    );
    const flags = ['--max-sessions', '1', '--url', endpoint.url.href];
    void new Cli(t, ['expose', ...flags], await room.env('server'));
    const first = await initialized(t, room, 'a');
    await refused(t, room, 'b');
    first.process.stdin.end();
    await admitted(t, room);
  });

  test('a configuration: all rooms share the sessions', async (t) => {
    const rooms = [new Room(relay), new Room(relay)] as const;
    const entry = { command, args };
    const file = await configuration(t, {
      [rooms[0].name]: { ...entry, rendezvous: { tokenEnv: 'FIRST' } },
      [rooms[1].name]: { ...entry, rendezvous: { tokenEnv: 'SECOND' } },
    });
    const [FIRST, SECOND] = [await rooms[0].token('server'), await rooms[1].token('server')];
    const env = { MCP_RENDEZVOUS_RELAY: relay.url, FIRST, SECOND };
    const expose = new Cli(t, ['expose', '--max-sessions', '1', '--config', file], env);
    await Promise.all(rooms.map(({ name }) => expose.says(`in room ${name}`)));
    const first = await initialized(t, rooms[0], 'a');
    await refused(t, rooms[1], 'b');
    first.process.stdin.end();
    await admitted(t, rooms[1]);
  });

  test('one subject has 16 slots of 64, and who knocks and never comes in gives its own back', async (t) => {
    const room = new Room(relay);
    const expose = await room.expose(t, undefined, '--debug');
    await expose.says(/sharing /);
    const knocks = await Promise.all(Array.from({ length: 17 }, () => knock(t, room, 'knocker')));
    assert.equal(knocks.filter((kind) => kind === 'bye').length, 1);
    const again = new WebRTCClientTransport({ relay: relay.ws, token: await room.token('client', 'knocker') });
    await assert.rejects(again.start(), {
      code: 'busy',
      retryable: true,
      message: /limit of 16 sessions for this subject/,
    });
    await initialized(t, room, 'another'); // nobody else is kept out
    await until('a slot of its own', async () => !(await attempt(t, room, 'knocker')));
    // The two clients', and the one that is kept warm.
    assert.equal(new Set(expose.stderr.match(/server \d+ is process/g)).size, 3);
  });

  test('a server sees no variable of ours: not the first process, and not one that was kept warm', async (t) => {
    const room = new Room(relay);
    const env = { ...secrets, ...(await room.env('server')), OTHER: 'x' };
    const expose = new Cli(t, ['expose', '--', command, ...args], env);
    await expose.says(/sharing /);
    for (const subject of ['a', 'b']) {
      const seen = await variablesSeen(await initialized(t, room, subject));
      assert.deepEqual(
        seen.filter((name) => name in secrets),
        [],
      );
      assert.ok(seen.includes('OTHER') && seen.includes('PATH'));
    }
  });

  test("an entry of a configuration sees its own variables only, and none that another one's headers name", async (t) => {
    const [room, endpoint] = [new Room(relay), new Room(relay)];
    const file = await configuration(t, {
      [room.name]: {
        command,
        args,
        env: { GIVEN: 'x', ADMIN_TOKEN: 'its own' },
        rendezvous: { tokenEnv: 'ROOM_TOKEN' },
      },
      [endpoint.name]: {
        url: 'http://127.0.0.1:9/',
        headers: { Authorization: 'Bearer ${API_KEY}', X: '${A}-${B}' },
        rendezvous: { tokenEnv: 'ENDPOINT_TOKEN' },
      },
      off: { command, disabled: true, rendezvous: { tokenEnv: 'OFF_TOKEN' }, headers: { X: '${OFF_KEY}' } },
    });
    const [ROOM_TOKEN, ENDPOINT_TOKEN] = [await room.token('server'), await endpoint.token('server')];
    const named = { API_KEY: 'k', A: 'a', B: 'b', OFF_TOKEN: 't', OFF_KEY: 'o', ROOM_TOKEN, ENDPOINT_TOKEN };
    const env = { ...secrets, ...named, MCP_RENDEZVOUS_RELAY: relay.url, RELAY_SECRET: testSecret, OTHER: 'x' };
    const expose = new Cli(t, ['expose', '--config', file], env);
    await expose.says(`in room ${room.name}`);
    for (const subject of ['a', 'b']) {
      const seen = await variablesSeen(await initialized(t, room, subject));
      assert.deepEqual(
        seen.filter((name) => name in secrets || name in named),
        ['ADMIN_TOKEN'],
      );
      assert.ok(seen.includes('OTHER') && seen.includes('GIVEN'));
    }
  });

  test('--max-sessions takes a number', async (t) => {
    const expose = new Cli(t, ['expose', '--max-sessions', '0', '--', 'true']);
    assert.equal(await expose.exit(), 2);
    assert.match(expose.stderr, /--max-sessions must be an integer from 1 to 10000\.\n$/);
  });

  /** Offers, and goes no further. Resolves with the kind of the answer. */
  async function knock(t: TestContext, room: Room, subject: string): Promise<string> {
    const connection = weriftEngine.createPeerConnection({ iceServers: [], iceTransportPolicy: 'all' });
    t.after(() => connection.close());
    connection.createDataChannel('mcp', { ordered: true });
    const { sdp = '' } = await connection.createOffer();
    const client = new RelayConnection({ relay: relay.ws, token: await room.token('client', subject) });
    t.after(() => client.close());
    await client.start();
    const { id } = await client.anyPeer(AbortSignal.timeout(quickMs));
    const channel = client.channel(id);
    const answered = Promise.withResolvers<string>();
    channel.onmessage = ({ kind }) => void (kind !== 'candidate' && answered.resolve(kind));
    await channel.start();
    await channel.send({ kind: 'offer', gen: 1, sdp });
    return await answered.promise;
  }
});

async function variablesSeen(client: Cli): Promise<string[]> {
  return ((await client.request('seen')).result as { variables: string[] }).variables;
}

async function configuration(t: TestContext, mcpServers: object): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'config-'));
  t.after(() => rm(directory, { recursive: true }));
  const file = join(directory, 'mcp.json');
  await writeFile(file, JSON.stringify({ mcpServers }));
  return file;
}
