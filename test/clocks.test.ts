import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, suite, test, type TestContext } from 'node:test';
import { decodeJwt } from 'jose';
import { RelayConnection } from 'mcp-rendezvous';
import { createRoomToken, createSecret, type RoomTokenOptions } from 'mcp-rendezvous-protocol/token';
import { startApp } from '../server/test/support/app.ts';
import { RawPeer } from '../server/test/support/peer.ts';
import { Cli, fixture } from '../sdk/test/cli/support/process.ts';
import { Coturn, turnSecret } from './support/coturn.ts';
import { joined, otherRelay, send, token } from './support/other-relay.ts';
import { RelayProcess, testSecret } from './support/relay.ts';
import { TurnUser } from './support/turn-user.ts';
import { eventually } from './support/wait.ts';
import { WrongClock } from './support/wrong-clock.ts';

// Peers whose clock is wrong, or is set while they run. The relay's is right.

const [command, ...args] = fixture();
const minutes = 60;
const hours = 60 * minutes;
/** How far a clock is ahead, in seconds. */
const offsets = { '10 min ahead': 10 * minutes, '2 h behind': -2 * hours, 'a year ahead': 365 * 24 * hours };

const issue = (options: Partial<RoomTokenOptions> & Pick<RoomTokenOptions, 'room' | 'role'>) =>
  createRoomToken({ key: testSecret, subject: options.role, ttl: 5 * minutes, ...options });

void suite('a clock that is wrong', { concurrency: 2 }, () => {
  let relay: RelayProcess;
  before(async () => {
    relay = await RelayProcess.start();
  });
  after(() => relay.stop());

  async function configuration(t: TestContext, room: string): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), 'clocks-'));
    t.after(() => rm(directory, { recursive: true }));
    const file = join(directory, 'mcp.json');
    await writeFile(file, JSON.stringify({ mcpServers: { [room]: { command, args } } }));
    return file;
  }

  /** What `token` prints on a machine with this clock. */
  async function printed(t: TestContext, clock: WrongClock, room: string, env: Record<string, string> = {}) {
    const cli = new Cli(t, ['token', '--room', room, '--role', 'client'], {
      ...clock.env,
      RELAY_SECRET: testSecret,
      MCP_RENDEZVOUS_RELAY: relay.url,
      ...env,
    });
    assert.equal(await cli.exit(), 0, cli.stderr);
    return { token: cli.noise[0] ?? '', stderr: cli.stderr };
  }

  for (const [name, offset] of Object.entries(offsets)) {
    test(`${name}: expose and connect with tokens of their own make, and go on when the clock is set`, async (t) => {
      const room = `room-${crypto.randomUUID()}`;
      const clock = new WrongClock(t, offset);
      const secret = { MCP_RENDEZVOUS_SECRET: createSecret() };
      const there = { MCP_RENDEZVOUS_RELAY: relay.url, ...secret, ...clock.env };
      const expose = new Cli(t, ['expose', '--config', await configuration(t, room)], {
        RELAY_SECRET: testSecret,
        ...there,
      });
      await expose.says(`in room ${room}`);
      const { token: own } = await printed(t, clock, room);
      const client = new Cli(t, ['connect'], { MCP_RENDEZVOUS_TOKEN: own, ...there });
      assert.equal((await client.request('initialize')).error, undefined, client.stderr);
      for (const later of [0, -offset, 2 * offset, offset]) {
        clock.set(later);
        const { result, error } = await client.request('echo', { later });
        assert.ok(result, JSON.stringify(error));
      }
      // Once more, with a clock that was set meanwhile.
      const { token: another } = await printed(t, clock, room);
      const second = new Cli(t, ['connect'], { MCP_RENDEZVOUS_TOKEN: another, ...there });
      assert.equal((await second.request('initialize')).error, undefined, second.stderr);
    });

    test(`${name}: a token that the relay takes is not refused here`, async (t) => {
      const room = `room-${crypto.randomUUID()}`;
      const clock = new WrongClock(t, offset);
      const env = { MCP_RENDEZVOUS_RELAY: relay.url, ...clock.env };
      const expose = new Cli(t, ['expose', '--', command, ...args], {
        MCP_RENDEZVOUS_TOKEN: await issue({ room, role: 'server' }),
        ...env,
      });
      await expose.says(`in room ${room}`);
      const client = new Cli(t, ['connect'], { MCP_RENDEZVOUS_TOKEN: await issue({ room, role: 'client' }), ...env });
      assert.equal((await client.request('initialize')).error, undefined, client.stderr);
    });

    test(`${name}: what token prints is dated by the relay's clock, where there is one`, async (t) => {
      const clock = new WrongClock(t, offset);
      const now = Date.now() / 1000;
      const { iat = 0, exp = 0 } = decodeJwt((await printed(t, clock, 'r')).token);
      assert.ok(Math.abs(iat - now) < 60, `${iat - now} s off`);
      assert.equal(exp - iat, 86_400);
      const alone = await printed(t, clock, 'r', { MCP_RENDEZVOUS_RELAY: 'ws://127.0.0.1:1' });
      assert.match(alone.stderr, /did not report its time, so the token uses the clock of this machine/);
      assert.ok(Math.abs((decodeJwt(alone.token).iat ?? 0) - now - offset) < 60);
    });
  }

  test('a token that has expired by the relay is refused as before', async (t) => {
    const clock = new WrongClock(t, 10 * minutes);
    const iat = Math.floor(Date.now() / 1000) - 4 * minutes;
    const old = await issue({ room: 'r', role: 'client', ttl: minutes, issuedAt: iat });
    const client = new Cli(t, ['connect'], {
      MCP_RENDEZVOUS_RELAY: relay.url,
      MCP_RENDEZVOUS_TOKEN: old,
      ...clock.env,
    });
    client.send({ id: 1, method: 'initialize' });
    client.process.stdin.end();
    assert.equal(await client.exit(), 2);
    assert.match(client.stderr, /The token expired at .*Ask your backend/);
  });

  test('a TURN server whose clock is 59 s away takes credentials until they are renewed, also the shortest-lived', async (t) => {
    const clock = new WrongClock(t, 0);
    const coturn = await Coturn.start({ env: clock.env });
    t.after(() => coturn.stop());
    const ttl = 60;
    const turn = { TURN_URLS: coturn.tcp, TURN_SECRET: turnSecret, TURN_TTL_SECONDS: String(ttl) };
    const own = await RelayProcess.start(turn);
    t.after(() => own.stop());
    const peer = await RawPeer.join(own.url, issue({ room: 'turn', role: 'client' }));
    const [server] = peer.joined.iceServers;
    assert.ok(server);
    const allocates = async (ahead: number) => {
      clock.set(ahead);
      const user = await TurnUser.connect(server, coturn.port);
      t.after(() => user.close());
      return await user.allocate();
    };
    // New ones come when half of their life is over.
    for (const ahead of [-59, 0, 59, 59 + ttl / 2]) assert.equal(await allocates(ahead), undefined, `${ahead} s`);
    assert.equal(await allocates(59 + 2 * ttl), 401, 'and not for ever');
  });
});

test('the relay tells the time with joined, and takes tokens whose clock is up to 60 s away', async (t) => {
  const app = await startApp(t);
  // For this relay, which is in this process, time stands still.
  const time = Math.floor(Date.now() / 1000);
  t.mock.timers.enable({ apis: ['Date'], now: time * 1000 });
  for (const skew of [-60, 60]) {
    const issuedAt = time + skew;
    const peer = await RawPeer.join(app.url, issue({ room: `s${skew}`, role: 'client', ttl: 1, issuedAt }));
    const { now, expiresAt } = peer.joined;
    assert.equal(now, time);
    assert.equal(expiresAt, issuedAt + 1);
    peer.cut();
  }
  for (const [skew, code] of [
    [-61, 'token_expired'],
    [61, 'token_not_yet_valid'],
  ] as const) {
    const peer = await RawPeer.open(app.url);
    const issuedAt = time + skew;
    peer.send({ type: 'join', token: await issue({ room: 's', role: 'client', ttl: 1, issuedAt }) });
    assert.equal(await peer.refusal(), code);
  }
});

test('the time is counted from the last joined, and no change of this clock counts', async (t) => {
  const told = [1_000_000_000, 1_000_007_200];
  let lost = () => {};
  const address = await otherRelay(t, (socket, n) => {
    send(socket, { ...joined('server'), now: told[n - 1] ?? 0 });
    lost = () => socket.terminate();
  });
  const connection = new RelayConnection({ relay: address, token: await token('server') });
  t.after(() => connection.close());
  await connection.start();
  const reads = (seconds: number) => Math.abs(connection.now / 1000 - seconds) < 30;
  assert.ok(reads(1_000_000_000));
  const { now } = Date;
  const jump = t.mock.method(Date, 'now', () => now() + 86_400_000);
  assert.ok(reads(1_000_000_000), 'set ahead');
  jump.mock.mockImplementation(() => now() - 86_400_000);
  assert.ok(reads(1_000_000_000), 'set back');
  jump.mock.restore();
  const monotonic = performance.now.bind(performance);
  const later = t.mock.method(performance, 'now', () => monotonic() + 600_000);
  assert.ok(reads(1_000_000_600), 'time has passed');
  // It slept for two hours, and its monotonic clock stood still: the socket is lost by then.
  later.mock.restore();
  lost();
  await eventually(() => connection.state === 'reconnecting');
  await eventually(() => connection.state === 'joined');
  assert.ok(reads(1_000_007_200), 'told again');
});

test('of a relay that does not tell the time, this clock at the join has to do', async (t) => {
  const address = await otherRelay(t, (socket) => send(socket, joined('server')));
  const connection = new RelayConnection({ relay: address, token: await token('server') });
  t.after(() => connection.close());
  await connection.start();
  assert.ok(Math.abs(connection.now - Date.now()) < 5000);
});
