import assert from 'node:assert/strict';
import { globSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const server = fileURLToPath(new URL('../../../server', import.meta.url));
export const dist = join(server, 'dist/console');

const newest = (folder: string): number =>
  Math.max(0, ...globSync('**/*.*', { cwd: folder }).map((file) => statSync(join(folder, file)).mtimeMs));

/** The relay serves what was built last: tests of anything else would show nothing. */
export function assertBuilt(): void {
  assert.ok(newest(dist) > newest(join(server, 'console')), 'console was changed after it was built: npm run console');
}
