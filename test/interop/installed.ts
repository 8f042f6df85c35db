import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * The folder that `scripts/<name>.sh` has made from those files of this folder, named by their
 * content.
 */
export function installed(name: string, files: readonly string[]): string {
  const hash = createHash('sha256');
  for (const file of files) hash.update(readFileSync(new URL(file, import.meta.url)));
  const folder = join(homedir(), '.cache/mcp-rendezvous', `${name}-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(join(folder, 'complete'))) return folder;
  throw new Error(`Run \`sh scripts/${name}.sh\` first: it installs what this test starts.`);
}
