import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';
import { eventually } from './wait.ts';

const root = join(import.meta.dirname, '../..');
const programs = { 'mcp-rendezvous': 'sdk/src/cli/main.ts', 'mcp-rendezvous-server': 'server/src/main.ts' };

/** A command that runs until it is stopped. */
export interface Running {
  /** Both streams, as they came. */
  readonly output: string;
  readonly process: ChildProcess;
  /** Waits until the output has the pattern, and returns its first group or all of it. */
  says: (pattern: RegExp) => Promise<string>;
  stop: () => Promise<void>;
}

/**
 * A folder and an account of their own, in which a reader of the documents types commands. Both
 * programs are on the PATH, from their sources, and npx finds the packages of the repository.
 */
export class Terminal {
  readonly folder = mkdtempSync(join(tmpdir(), 'terminal-'));
  readonly #env: NodeJS.ProcessEnv;

  constructor(t: TestContext) {
    // Processes end first: `after` hooks run in the order in which they were added.
    t.after(() => this.#stopAll());
    t.after(() => rmSync(this.folder, { recursive: true, force: true }));
    const [bin, home] = [join(this.folder, '.bin'), join(this.folder, '.home')];
    for (const path of [bin, home]) mkdirSync(path);
    symlinkSync(join(root, 'node_modules'), join(this.folder, 'node_modules'));
    for (const [name, source] of Object.entries(programs)) {
      const file = join(bin, name);
      writeFileSync(
        file,
        `#!/bin/sh\nexec '${process.execPath}' --conditions=mcp-rendezvous-source '${join(root, source)}' "$@"\n`,
      );
      chmodSync(file, 0o755);
    }
    const path = [bin, dirname(process.execPath), process.env['PATH']].join(delimiter);
    const settings = { XDG_CONFIG_HOME: join(home, '.config'), npm_config_offline: 'true' };
    this.#env = { PATH: path, HOME: home, ...settings };
  }

  readonly #running: Running[] = [];

  /** Runs a script of `sh` to its end, and returns its stdout. Throws when it fails. */
  async run(script: string): Promise<string> {
    const options = { cwd: this.folder, env: this.#env, timeout: 60_000 };
    return (await promisify(execFile)('sh', ['-euc', script], options)).stdout;
  }

  /** Starts a script of `sh` whose last command runs until it is stopped. */
  start(script: string): Running {
    const child = spawn('sh', ['-euc', script], { cwd: this.folder, env: this.#env, detached: true });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text) => (output += text));
    const closed = once(child, 'close');
    const running: Running = {
      process: child,
      get output() {
        return output;
      },
      says: async (pattern) => {
        await eventually(() => pattern.test(output) || child.exitCode !== null, 60_000);
        const [all, group = all] = pattern.exec(output) ?? [];
        if (group === undefined) throw new Error(`It ended without ${pattern}:\n${output}`);
        return group;
      },
      stop: async () => {
        // The group: a shell does not pass on signals.
        if (child.exitCode === null && child.signalCode === null) process.kill(-child.pid!, 'SIGTERM');
        await closed;
      },
    };
    this.#running.push(running);
    return running;
  }

  async #stopAll(): Promise<void> {
    await Promise.all(this.#running.map((running) => running.stop()));
  }
}

/**
 * The code blocks of a document that name a test, by the word behind their language, such as
 * `sh relay`, with what readers replace.
 */
export function namedBlocks(text: string, replace: Record<string, string>): Map<string, string> {
  const replaced = (body: string): string =>
    Object.entries(replace).reduce((result, [from, to]) => result.replaceAll(from, to), body);
  return new Map(
    Array.from(text.matchAll(/^ *```([a-z]+ [\w-]+)\n([^]*?)^ *```$/gm), ([, name = '', body = '']) => [
      name,
      replaced(body),
    ]),
  );
}
