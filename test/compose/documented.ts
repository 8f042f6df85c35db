import assert from 'node:assert/strict';
import { join } from 'node:path';
import { type Block, blocksTestedBy } from '../documents/blocks.ts';

/** The commands of the documents that start the containers; the tests of Compose follow them. */
const blocks = blocksTestedBy(join(import.meta.dirname, 'compose.test.ts'));
const followed = new Set<Block>();

/** The one block that has such a text. */
export function documented(pattern: RegExp): string {
  const [block, ...more] = blocks.filter(({ body }) => pattern.test(body));
  assert.ok(block && more.length === 0, `${more.length} more blocks like ${String(pattern)}`);
  followed.add(block);
  return block.body;
}

/** The blocks that no test has followed yet. */
export const unfollowed = (): Block[] => blocks.filter((block) => !followed.has(block));
