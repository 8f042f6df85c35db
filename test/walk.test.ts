import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test, type TestContext } from 'node:test';
import { type JsonRpcMessage, MemorySignaling, WebRTCClientTransport, WebRTCServerTransport } from 'mcp-rendezvous';
import { startApp } from '../server/test/support/app.ts';
import { RawPeer, testToken } from '../server/test/support/peer.ts';
import { BreakableEngine } from './support/breakable.ts';
import { filesThatRan } from './support/coverage.ts';
import { RedisServer } from './support/redis.ts';
import { eventually, within } from './support/wait.ts';

/**
 * ARCHITECTURE.md walks a signal, a message and a recovery through the files. Here each of them
 * happens once, and the files whose code ran are the ones of the document.
 */
const root = join(import.meta.dirname, '..');
const relaySource = join(root, 'server/src/');
const sdkSource = join(root, 'sdk/src/');

interface Walk {
  /** The files of the table, in its order. */
  way: string[];
  /** Files, and folders with a slash at the end, of the paragraph that begins with "Beside". */
  beside: string[];
}

/** A section of the document. `<engine>` is the one of this test. */
function walkOf(heading: string): Walk {
  const document = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8').replaceAll('<engine>', 'werift');
  const [, section] = document.split(`\n## ${heading}\n`);
  assert.ok(section !== undefined, `ARCHITECTURE.md has the section "${heading}"`);
  const [text = ''] = section.split('\n## ');
  const paths = (part: string): string[] => Array.from(part.matchAll(/`([\w./-]+(?:\.ts|\/))`/g), ([, path]) => path!);
  const beside = text.split('\n\n').filter((paragraph) => paragraph.startsWith('Beside'));
  const steps = text.split('\n').filter((line) => /^\| \d+ \|/.test(line));
  return { way: steps.flatMap((line) => paths(line.split('|')[2]!)), beside: beside.flatMap(paths) };
}

const isBeside = ({ beside }: Walk, file: string): boolean =>
  beside.some((path) => file === path || (path.endsWith('/') && file.startsWith(path)));

/** Says which files of the walk did not run, and which ran that the document does not know. */
function assertWalked(walk: Walk, ran: Set<string>, { most }: { most: number }): void {
  assert.ok(walk.way.length > 0 && walk.way.length <= most, `${walk.way.length} files, of ${most}`);
  assert.deepEqual(
    {
      'in the table, but did not run': walk.way.filter((file) => !ran.has(file)),
      'ran, but in neither the table nor the paragraph "Beside"': [...ran]
        .filter((file) => !walk.way.includes(file) && !isBeside(walk, file))
        .toSorted(),
    },
    {
      'in the table, but did not run': [],
      'ran, but in neither the table nor the paragraph "Beside"': [],
    },
  );
}

/** Two transports, of which the client's connection can be broken. */
function transports(t: TestContext) {
  const [left, right] = MemorySignaling.pair();
  const engine = new BreakableEngine();
  const client = new WebRTCClientTransport({ signaling: left, rtc: engine });
  const server = new WebRTCServerTransport({ signaling: right, rtc: new BreakableEngine() });
  t.after(() => Promise.all([client.close(), server.close()]));
  const start = (): Promise<unknown> => Promise.all([client.start(), server.start()]);
  const message: JsonRpcMessage = { jsonrpc: '2.0', method: 'notifications/walk' };
  const send = async (): Promise<void> => {
    const received = new Promise((resolve) => (server.onmessage = resolve));
    await client.send(message);
    await within(received, 'the message');
  };
  return { client, engine, start, send };
}

void suite('the walks of ARCHITECTURE.md', () => {
  test("a signal's way through two instances of the relay", async (t) => {
    const walk = walkOf("A signal's way through the relay");
    const redis = await RedisServer.start();
    t.after(() => redis.stop());
    const start = () => startApp(t, { REDIS_URL: redis.url });
    const [here, there] = await Promise.all([start(), start()]);
    const ready = async ({ url }: { url: string }) => (await fetch(`${url}/readyz`)).status === 200;
    await eventually(async () => (await ready(here)) && (await ready(there)));
    const server = await RawPeer.join(there.url, testToken({ room: 'a room', role: 'server' }));
    const client = await RawPeer.join(here.url, testToken({ room: 'a room', role: 'client' }));
    const signal = async (data: string): Promise<void> => {
      client.signal(server, data);
      assert.equal((await server.next('signal')).data, data);
    };
    await server.sees(client, 'online');
    await signal('the first one');
    assertWalked(walk, await filesThatRan(relaySource, () => signal('the one that is watched')), { most: 7 });
  });

  test("a message's way from send() to onmessage", async (t) => {
    const walk = walkOf("An MCP message's way through the SDK");
    const { start, send } = transports(t);
    await start();
    await send();
    assertWalked(walk, await filesThatRan(sdkSource, send), { most: 8 });
  });

  test("a session's recovery", async (t) => {
    const walk = walkOf('How a session is restored');
    const { client, engine, start, send } = transports(t);
    const begun = await filesThatRan(sdkSource, start);
    await send();
    const restored = await filesThatRan(sdkSource, async () => {
      const connected = new Promise<void>((resolve) => {
        client.onstatechange = (state) => void (state === 'connected' && resolve());
      });
      await engine.break();
      await within(connected, 'the session is restored');
    });
    await send();
    // A new connection is made as the first one was, which is another section of the document.
    const only = [...restored].filter((file) => walk.way.includes(file) || !begun.has(file));
    assertWalked(walk, new Set(only), { most: 6 });
  });
});
