import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { testSecret } from '../../test/support/relay.ts';
import { eventually } from '../../test/support/wait.ts';

/** One of this folder's files, run as a process of its own. */
class Example {
  readonly process: ChildProcessByStdio<null, Readable, Readable>;
  readonly closed: Promise<[code: number | null]>;
  stdout = '';
  stderr = '';

  constructor(t: TestContext, [file, ...args]: [string, ...string[]], env: Record<string, string>) {
    const path = fileURLToPath(new URL(file, import.meta.url));
    this.process = spawn(process.execPath, ['--conditions=mcp-rendezvous-source', path, ...args], {
      env: { PATH: process.env['PATH'], ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.process.stdout.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.process.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.closed = once(this.process, 'close') as Promise<[number | null]>;
    t.after(() => this.process.kill('SIGKILL'));
  }

  /** The first group of the pattern in what it printed, once it has. */
  async printed(pattern: RegExp): Promise<string> {
    await eventually(() => {
      if (this.process.exitCode !== null) assert.match(this.stdout, pattern, this.stderr);
      return pattern.test(this.stdout);
    });
    return pattern.exec(this.stdout)?.[1] ?? '';
  }

  /** All it printed, once it has ended by itself and without complaint. */
  async output(): Promise<string> {
    const [code] = await this.closed;
    assert.equal(this.stderr, '');
    assert.equal(code, 0);
    return this.stdout;
  }
}

test('the quickstart does what its README says', async (t) => {
  const key = { RELAY_SECRET: testSecret };
  const relay = new Example(t, ['relay.ts'], { ...key, RELAY_PORT: '0' });
  const address = await relay.printed(/relay: (\S+)/);
  const peer = async (role: string, subject: string): Promise<Record<string, string>> => ({
    MCP_RENDEZVOUS_RELAY: address,
    MCP_RENDEZVOUS_TOKEN: (await new Example(t, ['token.ts', role, subject], key).output()).trim(),
  });

  const server = new Example(t, ['server.ts'], await peer('server', 'desktop-1'));
  await server.printed(/waiting for clients/);
  const client = new Example(t, ['client.ts'], await peer('client', 'agent-7'));
  const output = await client.output();
  assert.match(
    await readFile(new URL('README.md', import.meta.url), 'utf8'),
    new RegExp(`^\`\`\`\\n${output}\`\`\`$`, 'm'),
  );

  server.process.kill('SIGINT');
  assert.equal(await server.output(), 'waiting for clients\nclient: agent-7\n');
  relay.process.kill('SIGINT');
  assert.equal(await relay.output(), `relay: ${address}\n`);
});
