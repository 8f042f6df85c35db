import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { suite, test } from 'node:test';
import { transform } from 'esbuild';

const root = join(import.meta.dirname, '..');

/** A Node that is too old says so in one line, and fails at no syntax that is new to it. */
void suite('Node.js that is too old', () => {
  for (const bin of ['sdk/bin/mcp-rendezvous.js', 'server/bin/mcp-rendezvous-server.js']) {
    const name = basename(bin, '.js');

    test(`${name} is a script that Node 12 can parse`, async () => {
      const code = readFileSync(join(root, bin), 'utf8');
      const forTarget = async (target: string) => (await transform(code, { target })).code;
      // What esbuild would write in another way for Node 12 is what Node 12 does not know.
      assert.equal(await forTarget('node12.20'), await forTarget('esnext'));
      const manifest = JSON.parse(readFileSync(join(root, bin, '../package.json'), 'utf8')) as object;
      assert.deepEqual(manifest, { type: 'commonjs' });
    });

    for (const version of ['12.22.12', '20.20.1', '22.17.9']) {
      test(`${name} says in one line that Node ${version} is too old, and loads nothing`, (t) => {
        const folder = mkdtempSync(join(tmpdir(), 'old-node-'));
        t.after(() => rmSync(folder, { recursive: true }));
        // Only the folder of the program: whatever else it loaded would not be found.
        cpSync(join(root, bin, '..'), join(folder, 'bin'), { recursive: true });
        const pretend = join(folder, 'pretend.cjs');
        writeFileSync(pretend, `Object.defineProperty(process.versions, 'node', { value: '${version}' });`);
        const { status, stdout, stderr } = spawnSync(
          process.execPath,
          ['--require', pretend, join(folder, 'bin', basename(bin)), '--help'],
          { encoding: 'utf8' },
        );
        assert.equal(
          stderr,
          `${name} needs Node.js 22.18 or newer; this is ${version}. Install a newer one from https://nodejs.org.\n`,
        );
        assert.deepEqual([status, stdout], [1, '']);
      });
    }
  }
});
