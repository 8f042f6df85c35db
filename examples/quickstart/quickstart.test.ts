import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { test, type TestContext } from 'node:test';
import { allBlocks, blocksTestedBy, root } from '../../test/documents/blocks.ts';
import { eventually } from '../../test/support/wait.ts';

/** A terminal with one of the README's blocks. */
class Terminal {
  readonly process: ChildProcessByStdio<null, Readable, Readable>;
  readonly closed: Promise<unknown>;
  stdout = '';
  stderr = '';

  constructor(t: TestContext, script: string, env: Record<string, string> = {}) {
    const NODE_OPTIONS = '--conditions=mcp-rendezvous-source';
    this.process = spawn('sh', ['-euc', script], {
      cwd: root,
      env: { PATH: process.env['PATH'], HOME: process.env['HOME'], NODE_OPTIONS, RELAY_PORT: '0', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.process.stdout.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    this.process.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.closed = once(this.process, 'close');
    t.after(() => this.#signal('SIGKILL'));
  }

  /** The first group of the pattern in what it printed, once it has. */
  async printed(pattern: RegExp): Promise<string> {
    await eventually(() => {
      if (this.process.exitCode !== null) assert.match(this.stdout, pattern, this.stderr);
      return pattern.test(this.stdout);
    });
    return pattern.exec(this.stdout)?.[1] ?? '';
  }

  /** All it printed, once it has ended, by itself or by Ctrl+C. */
  async output(interrupt = false): Promise<string> {
    if (interrupt) this.#signal('SIGINT');
    await this.closed;
    assert.equal(this.stderr, '');
    return this.stdout;
  }

  #signal(signal: NodeJS.Signals): void {
    const { pid, exitCode, signalCode } = this.process;
    if (pid !== undefined && exitCode === null && signalCode === null) process.kill(-pid, signal);
  }
}

test('the quickstart does what its README says', async (t) => {
  const mine = blocksTestedBy(import.meta.filename).filter(({ document }) => document.startsWith('examples/'));
  const [first, second, third] = mine.map(({ body }) => body);
  assert.ok(first && second && third);
  const relay = new Terminal(t, first);
  const address = await relay.printed(/relay: (\S+)/);
  const key = await relay.printed(/^(key='.*')$/m);
  const env = { MCP_RENDEZVOUS_RELAY: address };

  const server = new Terminal(t, `${key}\n${second}`, env);
  await server.printed(/waiting for clients/);
  const client = new Terminal(t, `${key}\n${third}`, env);
  const shown = allBlocks().find(({ document, language }) => document.includes('quickstart') && language === '');
  assert.equal(await client.output(), shown?.body);

  // The guide shows these very files.
  const guide = await readFile(new URL('../../docs/guides/node.md', import.meta.url), 'utf8');
  for (const file of ['server.ts', 'client.ts']) {
    assert.ok(guide.includes(await readFile(new URL(file, import.meta.url), 'utf8')), file);
  }

  assert.equal(await server.output(true), 'waiting for clients\nclient: agent-7\n');
  assert.equal(await relay.output(true), `${key}\nrelay: ${address}\n`);
});
