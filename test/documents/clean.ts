import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Machine } from '../support/machines.ts';
import { eventually } from '../support/wait.ts';
import { allBlocks, root } from './blocks.ts';

const run = promisify(execFile);

/** The blocks with which the README installs the commands, and the packages in an application. */
const installation = (pattern: RegExp): string => {
  const block = allBlocks().find(({ document, body }) => document === 'README.md' && pattern.test(body));
  if (!block) throw new Error(`The README has no block like ${String(pattern)}.`);
  return block.body;
};

/** Where a command runs: a machine of its own, a folder, further variables. */
interface Where {
  on?: Machine;
  cwd?: string;
  env?: NodeJS.ProcessEnv;
}

const placed = (on: Machine | undefined, program: string, ...args: string[]): [program: string, ...args: string[]] =>
  on ? on.command(program, ...args) : [program, ...args];

const home = (on: Machine | undefined): NodeJS.ProcessEnv => (on ? { HOME: on.home } : {});

/**
 * A folder outside of the repository with what a reader has: a clone of the packages, a home
 * folder without a file, and npm's packages as this machine reaches them.
 */
export class CleanEnvironment {
  readonly folder = mkdtempSync(join(tmpdir(), 'clean-'));
  readonly clone = join(this.folder, 'clone');
  readonly home = join(this.folder, 'home');
  readonly app = join(this.folder, 'app');
  readonly bin = join(this.folder, 'global/bin');
  env: NodeJS.ProcessEnv = {};
  readonly #running: ChildProcess[] = [];

  /** What `npm ci` leaves of the packages in a clone, but for what they depend on. */
  static async create(): Promise<CleanEnvironment> {
    const clean = new CleanEnvironment();
    const filter = (path: string) => basename(path) !== 'node_modules';
    for (const name of ['protocol', 'sdk', 'server']) {
      cpSync(join(root, name), join(clean.clone, name), { recursive: true, filter });
    }
    cpSync(join(root, '.npmrc'), join(clean.clone, '.npmrc'));
    const manifest = { private: true, workspaces: ['protocol', 'sdk', 'server'] };
    writeFileSync(join(clean.clone, 'package.json'), JSON.stringify(manifest));
    for (const folder of [clean.home, clean.app]) mkdirSync(folder);
    clean.#shareServers();
    const npm = async (key: string) => (await run('npm', ['config', 'get', key], { cwd: tmpdir() })).stdout.trim();
    const foreign = /^npm_|^NODE_(?!EXTRA_CA_CERTS)|^MCP_RENDEZVOUS_|^RELAY|^REDIS/i;
    clean.env = {
      ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name))),
      HOME: clean.home,
      PATH: [clean.bin, dirname(process.execPath), process.env['PATH']].join(delimiter),
      npm_config_prefix: join(clean.folder, 'global'),
      npm_config_userconfig: await npm('userconfig'),
      npm_config_cache: await npm('cache'),
      npm_config_prefer_offline: 'true',
    };
    return clean;
  }

  /** MCP servers that documents fetch with `npx -y` are those of this repository. */
  #shareServers(): void {
    const bins = join(root, 'node_modules/.bin');
    const script = `#!/bin/sh\n[ "$1" = -y ] || exec "$NPX" "$@"\nshift\nname=mcp-\${1#@modelcontextprotocol/}\nshift\nexec "${bins}/$name" "$@"\n`;
    mkdirSync(this.bin, { recursive: true });
    writeFileSync(join(this.bin, 'npx'), script, { mode: 0o755 });
  }

  /** The README's line that installs both commands; `npm ci` is done. */
  installCommands(): Promise<string> {
    return this.sh(installation(/npm pack/).replace(/^npm ci && /m, ''), { cwd: this.clone });
  }

  /** The README's line for an application, with what {@link installCommands} has packed. */
  async installApplication(...more: string[]): Promise<void> {
    writeFileSync(join(this.app, 'package.json'), '{ "private": true, "type": "module" }');
    const line = installation(/^npm install \.\//m).replaceAll('./mcp-rendezvous-', '../clone/mcp-rendezvous-');
    await this.sh([line.trim(), ...more].join(' '), { cwd: this.app });
  }

  /** Runs a script to its end; resolves with what it printed, and rejects with all of it. */
  async sh(script: string, { on, cwd, env = {} }: Where = {}): Promise<string> {
    const [program, ...args] = placed(on, 'sh', '-euc', script);
    const options = { cwd: cwd ?? on?.home ?? this.home, env: { ...this.env, ...home(on), ...env } };
    try {
      return (await run(program, args, options)).stdout;
    } catch (error) {
      const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
      throw new Error(`It failed:\n${script}\n${stdout}${stderr}`, { cause: error });
    }
  }

  /** Starts a program that goes on running; resolves with what it printed, once that matches. */
  async start(command: string[], expected: RegExp, { on, cwd, env = {} }: Where = {}): Promise<string> {
    const [program, ...args] = placed(on, ...(command as [string, ...string[]]));
    const child = spawn(program, args, {
      cwd: cwd ?? on?.home ?? this.home,
      env: { ...this.env, ...home(on), ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
      // With a group of its own, so that what a shell started ends with it.
      detached: true,
    });
    this.#running.push(child);
    let printed = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (printed += text));
    }
    const seen = eventually(() => {
      if (expected.test(printed)) return true;
      if (child.exitCode !== null) throw new Error('It ended.');
      return false;
    }, 60_000);
    await seen.catch((cause: unknown) => {
      throw new Error(`${command.join(' ')} printed:\n${printed}`, { cause });
    });
    return printed;
  }

  /** Runs a script at a terminal, as a person does; `typed` is what they type. */
  terminal(script: string, expected: RegExp, { env = {}, ...where }: Where = {}, typed = ''): Promise<string> {
    const command = [
      'sh',
      '-c',
      `printf '%s' "$TYPED" | script --quiet --return --command 'sh -euc "$SCRIPT"' /dev/null`,
    ];
    // Without anything to type the terminal stays open.
    if (typed === '') command[2] = command[2]!.replace(/^.*? \| /, '');
    return this.start(command, expected, { ...where, env: { ...env, SCRIPT: script, TYPED: typed } });
  }

  /** Makes a function that ends what was started after this call. */
  mark(): () => Promise<void> {
    const first = this.#running.length;
    return () => this.stop(first);
  }

  /** Ends what was started, from the given one on. */
  async stop(first = 0): Promise<void> {
    await Promise.all(
      this.#running.splice(first).map(async (child) => {
        if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
        const ended = once(child, 'exit');
        process.kill(-child.pid, 'SIGKILL');
        await ended;
      }),
    );
  }

  async remove(): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
