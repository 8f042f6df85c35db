import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { type Cli, fixture, runs, until } from '../sdk/test/cli/support/process.ts';
import { RelayProcess } from './support/relay.ts';
import { sharedFixture } from './support/room.ts';

// Side by side, as they mostly wait: for signals, deadlines, and a peer that is given up.
void suite('what is left when the command line ends', { concurrency: 4 }, () => {
  let relay: RelayProcess;
  before(async () => {
    relay = await RelayProcess.start();
  });
  after(() => relay.stop());

  test('a command of which there can be only one: its client keeps it', async (t) => {
    const { expose, client, pid } = await sharedFixture(t, relay);
    // The second process waits for a client; whatever ends it is no reason to end the first one's
    // session.
    await expose.says('[server 2] fixture server is up');
    const warm = await warmPid(expose, pid);
    process.kill(warm, 'SIGKILL');
    await expose.says(/was killed by SIGKILL. It was idle; the next one starts in 0.5 s/);
    await expose.says('[server 3] fixture server is up');
    assert.deepEqual((await client.request('echo')).result, {});
  });

  for (const [what, end] of [
    ['connect is stopped', (client: Cli) => client.process.kill('SIGTERM')],
    ['connect is killed', (client: Cli) => client.process.kill('SIGKILL')],
    ['the pipe breaks', breakPipe],
  ] as const) {
    test(`${what}: nothing is left of its server`, async (t) => {
      const { client, pid } = await sharedFixture(t, relay);
      const grandchild = ((await client.request('grandchild')).result as { pid: number }).pid;
      end(client);
      await client.exit();
      await until('the end of its processes', () => !runs(pid) && !runs(grandchild), 120_000);
    });
  }

  test('expose is stopped: the client is told, and nothing is left', async (t) => {
    const { expose, client, pid } = await sharedFixture(t, relay);
    const grandchild = ((await client.request('grandchild')).result as { pid: number }).pid;
    const warm = await warmPid(expose, pid);
    client.send({ id: 'pending', method: 'silence' });
    await client.request('echo');
    expose.process.kill('SIGTERM');
    assert.equal((await client.answer('pending')).error?.data?.code, 'session_closed');
    assert.equal(await expose.exit(), 143);
    await until('the end of its processes', () => ![pid, warm, grandchild].some((left) => runs(left)));
  });

  test('expose is stopped in a hurry: nothing is left either', async (t) => {
    const { expose, pid } = await sharedFixture(t, relay, fixture('stubborn'));
    const warm = await warmPid(expose, pid);
    expose.process.kill('SIGINT');
    await expose.says('SIGINT: closing');
    expose.process.kill('SIGINT');
    assert.equal(await expose.exit(), 130);
    await until('the end of its processes', () => !runs(pid) && !runs(warm));
  });

  test('expose is killed: its servers see the end of their input, and the client hears that the session is lost', async (t) => {
    const { expose, client, pid } = await sharedFixture(t, relay);
    const warm = await warmPid(expose, pid);
    client.send({ id: 'pending', method: 'silence' });
    await client.request('echo');
    expose.process.kill('SIGKILL');
    await expose.exit();
    await until('the end of its processes', () => !runs(pid) && !runs(warm));
    const { error } = await client.answer('pending', 120_000);
    assert.equal(error?.data?.code, 'session_lost', JSON.stringify(error));
    // It stays for the next server.
    assert.equal(client.process.exitCode, null);
  });

  test('expose is killed: servers that ignore that, and what they started, are ended', async (t) => {
    const { expose, client, pid } = await sharedFixture(t, relay, fixture('stubborn'));
    const grandchild = ((await client.request('grandchild')).result as { pid: number }).pid;
    const warm = await warmPid(expose, pid);
    const shell = childrenOf(expose).find((child) => child !== pid && child !== warm);
    expose.process.kill('SIGKILL');
    await expose.exit();
    await until('the end of its processes', () => ![pid, warm, grandchild].some((left) => runs(left)), 60_000);
    await until('the end of who ended them', () => !runs(shell ?? 0), 60_000);
  });
});

function breakPipe(client: Cli): void {
  client.process.stdout.destroy();
  client.send({ id: 'unheard', method: 'echo' });
}

/** The process that waits for the next client: a child of expose other than those in use. */
async function warmPid(expose: Cli, ...used: number[]): Promise<number> {
  const find = (): number | undefined =>
    childrenOf(expose)
      // Beside servers there is the shell that ends them if expose cannot.
      .find((pid) => !used.includes(pid) && !readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('/bin/sh'));
  await until(`a child beside ${used.join()}`, () => find() !== undefined);
  return find()!;
}

const childrenOf = ({ process: { pid } }: Cli): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
