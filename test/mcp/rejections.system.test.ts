import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { after, before, suite, test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { SignJWT } from 'jose';
import { listen, type Role } from 'mcp-rendezvous';
import { testToken } from '../../server/test/support/peer.ts';
import { freePort } from '../support/port.ts';
import { RelayProcess, testSecret } from '../support/relay.ts';
import { eventually, within } from '../support/wait.ts';

type Kind = 'client' | 'server' | 'listen';

interface Outcome {
  name: string;
  code: string;
  message: string;
  retryable: boolean;
  closes: number;
  /** From the attempt to its failure. */
  ms: number;
}

const script = fileURLToPath(new URL('./try-once.ts', import.meta.url));
/** What a process may take to start, to notice its own deadline, and to exit: on a busy machine. */
const graceMs = 15_000;

/** A process that tries once. It has to fail, say so, and then to exit by itself. */
class Attempt {
  readonly outcome: Promise<Outcome>;
  readonly #ended: Promise<unknown>;
  readonly #process;
  #stderr = '';

  constructor(t: TestContext, kind: Kind, relay: string, token: string, connectTimeoutMs: number) {
    const child = spawn(
      process.execPath,
      ['--conditions=mcp-rendezvous-source', script, kind, relay, String(connectTimeoutMs)],
      { env: { PATH: process.env['PATH'], TOKEN: token }, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.#process = child;
    this.#ended = once(child, 'close');
    child.stderr.setEncoding('utf8').on('data', (text: string) => (this.#stderr += text));
    this.outcome = once(createInterface({ input: child.stdout }), 'line').then(
      ([line]) => JSON.parse(String(line)) as Outcome,
    );
    t.after(() => child.kill('SIGKILL'));
  }

  /** Resolves when the process has ended by itself, promptly and in order. */
  async exits(): Promise<void> {
    await within(this.#ended, 'the process exits by itself', graceMs);
    assert.equal(this.#stderr, '');
    assert.equal(this.#process.exitCode, 0);
  }
}

let relay: RelayProcess;
before(async () => {
  relay = await RelayProcess.start();
});
after(() => relay.stop());

/** Runs a process to its end, and asserts what is the same for every way to fail. */
async function fails(
  t: TestContext,
  { kind, url, token, connectTimeoutMs }: { kind: Kind; url: string; token: string; connectTimeoutMs: number },
  meanwhile: () => Promise<unknown> = () => Promise.resolve(),
): Promise<Outcome> {
  const attempt = new Attempt(t, kind, url, token, connectTimeoutMs);
  await meanwhile();
  const outcome = await within(attempt.outcome, 'the attempt fails', connectTimeoutMs + graceMs);
  assert(
    outcome.ms < connectTimeoutMs + graceMs / 2,
    `within its time, and not after ${outcome.ms} ms: ${outcome.code}`,
  );
  if (kind !== 'listen') assert.equal(outcome.closes, 1);
  assert(!outcome.message.includes(token), 'no token in a message');
  await attempt.exits();
  return outcome;
}

const expired = (role: Role): Promise<string> =>
  new SignJWT({ room: 'r', role })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('s')
    .setAudience('mcp-rendezvous')
    .setExpirationTime(Math.floor(Date.now() / 1_000) - 60)
    .sign(new TextEncoder().encode(testSecret));

const kinds: [Kind, Role][] = [
  ['client', 'client'],
  ['server', 'server'],
  ['listen', 'server'],
];
const otherRole = { client: 'server', server: 'client' } as const;

for (const [kind, role] of kinds) {
  suite(`a process with a ${kind}`, () => {
    test('a token that has expired', async (t) => {
      const token = await expired(role);
      const outcome = await fails(t, { kind, url: relay.ws, token, connectTimeoutMs: 30_000 });
      assert.equal(outcome.code, 'token_expired');
      // The only name that the version probe of SDK v2 lets through.
      assert.equal(outcome.name, 'UnauthorizedError');
      assert(outcome.ms < 25_000, 'not only when the time is up');
    });

    test('a token signed with another key', async (t) => {
      const token = await testToken({ room: 'r', role, key: 'another secret that is long enough as well' });
      const outcome = await fails(t, { kind, url: relay.ws, token, connectTimeoutMs: 30_000 });
      assert.equal(outcome.code, 'token_invalid');
      assert.equal(outcome.retryable, false);
    });

    test('a token for the other role', async (t) => {
      const token = await testToken({ room: 'r', role: otherRole[role] });
      const outcome = await fails(t, { kind, url: relay.ws, token, connectTimeoutMs: 30_000 });
      assert.equal(outcome.code, 'bad_option');
      assert.match(outcome.message, new RegExp(`role ${otherRole[role]}`));
    });

    test('no relay at that address', async (t) => {
      const token = await testToken({ room: 'r', role });
      const url = `ws://127.0.0.1:${await freePort()}`;
      const outcome = await fails(t, { kind, url, token, connectTimeoutMs: 30_000 });
      assert.equal(outcome.code, 'relay_unreachable');
      assert.equal(outcome.retryable, true);
    });

    test('a relay that takes connections and says nothing', async (t) => {
      const silent = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
      await once(silent, 'listening');
      t.after(() => silent.close());
      const { port } = silent.address() as { port: number };
      const token = await testToken({ room: 'r', role });
      const outcome = await fails(t, { kind, url: `ws://127.0.0.1:${port}`, token, connectTimeoutMs: 700 });
      assert.equal(outcome.code, 'relay_unreachable');
      assert.equal(outcome.retryable, true);
    });
  });
}

for (const [kind] of kinds.slice(1)) {
  test(`a process with a ${kind}: the room has a server of somebody else`, async (t) => {
    const room = `taken from a ${kind}`;
    const options = { relay: relay.ws, token: await testToken({ room, role: 'server', subject: 'the first' }) };
    const listener = await listen(options, () => {});
    t.after(() => listener.close());
    const token = await testToken({ room, role: 'server', subject: 'the second' });
    const outcome = await fails(t, { kind, url: relay.ws, token, connectTimeoutMs: 30_000 });
    assert.equal(outcome.code, 'room_taken');
    assert.equal(outcome.retryable, false);
    assert(outcome.ms < 25_000, 'not only when the time is up');
    assert.equal(listener.state, 'joined');
  });
}

for (const [kind, role] of kinds.slice(0, 2)) {
  suite(`a process with a ${kind} that waits`, () => {
    test('nobody comes', async (t) => {
      const token = await testToken({ room: `nobody for a ${kind}`, role });
      const outcome = await fails(t, { kind, url: relay.ws, token, connectTimeoutMs: 8_000 });
      assert.equal(outcome.code, 'peer_absent');
      assert.equal(outcome.retryable, true);
      assert.match(outcome.message, new RegExp(`No MCP ${otherRole[role]}`));
    });

    test('the relay dies meanwhile', async (t) => {
      const mortal = await RelayProcess.start();
      t.after(() => mortal.stop());
      const token = await testToken({ room: 'r', role });
      const outcome = await fails(t, { kind, url: mortal.ws, token, connectTimeoutMs: 8_000 }, async () => {
        await eventually(() => /"msg":"joined"/.test(mortal.stdout + mortal.stderr));
        await mortal.stop('SIGKILL');
      });
      assert.equal(outcome.code, 'relay_unreachable');
      assert.equal(outcome.retryable, true);
    });
  });
}
