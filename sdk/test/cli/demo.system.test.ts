import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { startLocalRelay } from '../../src/cli/demo/local-relay.ts';
import { Cli } from './support/process.ts';

void suite('demo', () => {
  test('calls a tool without any configuration, and shows what crossed the relay', async (t) => {
    const cli = new Cli(t, ['demo']);
    assert.equal(await cli.exit(), 0, cli.stderr);
    const printed = cli.noise.join('\n');
    assert.equal(cli.stderr, '');
    assert.match(printed, /^client {3}greet\(\{"name":"world"\}\) returned "Hello, world!"$/m);
    assert.match(printed, /^path {5}direct: /m);
    for (const frame of ['server → relay   join ', 'relay  → client  joined', 'client → relay   leave ']) {
      assert.ok(printed.includes(frame), printed);
    }
    const sizes = Array.from(printed.matchAll(/→.* (\d+) bytes$/gm), ([, bytes]) => Number(bytes));
    const [, frames, bytes] = /^ +(\d+) +frames +(\d+) bytes$/m.exec(printed) ?? [];
    assert.equal(sizes.length, Number(frames));
    assert.equal(
      sizes.reduce((sum, size) => sum + size, 0),
      Number(bytes),
    );
    // Tokens are JWTs, descriptions begin with v=0 and have fingerprints.
    assert.doesNotMatch(printed, /eyJ|mcps1|v=0|fingerprint|candidate/);
  });

  test("without the relay's package says in one line what to install", async () => {
    await assert.rejects(startLocalRelay('k'.repeat(32), 'mcp-rendezvous-server-that-is-not-there'), {
      code: 'server_failed',
      message: /^The demo starts a relay.*Install mcp-rendezvous-server-that-is-not-there .*$/,
    });
  });

  test('ends with the number of the signal that stops it', async (t) => {
    // Its relay never answers, so that it is still there when the signal comes.
    const mute = encodeURIComponent('globalThis.WebSocket = class extends EventTarget { close() {} };');
    const cli = new Cli(t, ['demo'], { NODE_OPTIONS: `--import=data:text/javascript,${mute}` });
    cli.process.stdout.once('data', () => cli.process.kill('SIGINT'));
    assert.equal(await cli.exit(), 130);
  });
});
