import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { chromiumPath, launchBrowser } from '../support/browser.ts';
import { bundle } from '../support/bundle.ts';
import type { End } from './end.ts';
import type { Host } from './hosts.ts';
import type { Command, NodeEngine, Reply } from './node-end.ts';

/** An end of the session on a host of its own. */
export interface RemoteEnd extends End {
  /** Ends its process; what it said that nobody expected. */
  stop(): Promise<void>;
  readonly output: string;
}

const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** An end in a Node process. */
export function startNodeEnd(host: Host, engine: NodeEngine): RemoteEnd {
  const [command, ...enter] = host.enter;
  const node = [process.execPath, '--conditions=mcp-rendezvous-source', file('node-end.ts'), engine];
  const child = spawn(command, [...enter, ...node], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] });
  let output = '';
  const remote = new Remote(child, () => output);
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  return {
    ...proxyOf((method, args) => remote.call(method, args)),
    get output() {
      return output;
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL'); // `ip netns exec` has become node
      await once(child, 'exit');
    },
  };
}

/** An end in a page of a Chromium that runs on that host. */
export async function openPageEnd(host: Host): Promise<RemoteEnd> {
  const directory = await mkdtemp(join(tmpdir(), 'chromium-'));
  const executablePath = join(directory, 'chromium');
  await writeFile(executablePath, `#!/bin/sh\nexec ${host.enter.join(' ')} ${chromiumPath} "$@"\n`, { mode: 0o755 });
  let browser: Browser | undefined;
  const stop = async (): Promise<void> => {
    await browser?.close();
    await rm(directory, { recursive: true });
  };
  let output = '';
  let page: Page;
  try {
    browser = await launchBrowser(executablePath);
    page = await browser.newPage();
    page.on('pageerror', (error) => (output += `${error.message}\n`));
    await loadEnd(page);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    ...proxyOf((method, args) =>
      page.evaluate(([name, given]) => (globalThis.end[name] as (...all: unknown[]) => unknown)(...given), [
        method,
        args,
      ] as const),
    ),
    get output() {
      return output;
    },
    stop,
  };
}

/** Web Crypto needs a secure context: localhost is one, and nothing needs to listen there. */
async function loadEnd(page: Page): Promise<void> {
  const script = await bundle(file('page.ts'));
  await page.route('http://localhost/**', async (route) => {
    const isScript = route.request().url().endsWith('.js');
    await route.fulfill(
      isScript
        ? { contentType: 'text/javascript', body: script }
        : {
            contentType: 'text/html',
            body: '<!doctype html><title>end</title><script type="module" src="/end.js"></script>',
          },
    );
  });
  await page.goto('http://localhost/');
}

function proxyOf(call: (method: keyof End, args: unknown[]) => Promise<unknown>): End {
  return {
    serve: (place) => call('serve', [place]) as ReturnType<End['serve']>,
    connect: (place) => call('connect', [place]) as ReturnType<End['connect']>,
    begin: (plan) => call('begin', [plan]) as ReturnType<End['begin']>,
    cut: () => call('cut', []) as ReturnType<End['cut']>,
    report: () => call('report', []) as ReturnType<End['report']>,
    leave: () => call('leave', []) as ReturnType<End['leave']>,
  };
}

/** Commands to a child process, and its replies. */
class Remote {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  #next = 0;
  #ended: Error | undefined;

  /** @param output what the process has said, for the error when it ends by itself */
  constructor(child: ChildProcess, output: () => string) {
    this.#child = child;
    child.on('message', (reply: Reply) => {
      const waiting = this.#waiting.get(reply.id);
      this.#waiting.delete(reply.id);
      if ('error' in reply) waiting?.reject(new Error(reply.error));
      else waiting?.resolve(reply.result);
    });
    child.on('close', (code, signal) => {
      this.#ended = new Error(`the end's process ended: ${code ?? signal}\n${output()}`);
      for (const { reject } of this.#waiting.values()) reject(this.#ended);
    });
  }

  async call(method: keyof End, args: unknown[]): Promise<unknown> {
    if (this.#ended) throw this.#ended;
    const waiting = Promise.withResolvers<unknown>();
    const id = this.#next++;
    this.#waiting.set(id, waiting);
    const command: Command = { id, method, args };
    this.#child.send(command, () => {}); // when it cannot be sent the process has ended, which rejects it
    return await waiting.promise;
  }
}
