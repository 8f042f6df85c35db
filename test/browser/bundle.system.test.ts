import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { bundle } from '../support/bundle.ts';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
/**
 * Everything the package exports for browsers, zod's small half for the protocol's schemas
 * included.
 */
const mostGzipBytes = 75_000;

before(async () => {
  // What `npm run build` does for this package; quick when it is built already.
  const [tsc, project] = [path('../../node_modules/typescript/bin/tsc'), path('../../sdk/tsconfig.build.json')];
  await promisify(execFile)(process.execPath, [tsc, '-b', project]);
});

for (const [bundler, from] of [
  ['esbuild', 'source'],
  ['esbuild', 'dist'],
  ['vite', 'dist'],
] as const) {
  test(`${bundler} bundles the package for browsers from its ${from}, without anything of Node`, async (t) => {
    const code = await bundle(path('sdk.ts'), { with: bundler, from, minify: true });
    assert.ok(code.includes('WebRTCClientTransport'));
    assert.deepEqual(code.match(/["'`]node:\w+|\brequire\(|TcpSocketSignaling/g), null);
    const bytes = gzipSync(code).byteLength;
    t.diagnostic(`${code.length} bytes minified, ${bytes} with gzip`);
    assert.ok(bytes < mostGzipBytes, `${bytes} bytes with gzip`);
  });
}
