import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A change of `.changeset`, as `npm run change` writes it. */
export interface Change {
  /** The packages that it changes, each with how large the step is. */
  steps: Map<string, string>;
  /** For users, in Markdown. */
  text: string;
}

/** The changes that are not released yet, by the names of their files. */
export const readChanges = (root: string): Change[] =>
  globSync('.changeset/*.md', { cwd: root })
    .filter((path) => !path.endsWith('README.md'))
    .toSorted()
    .map((path) => {
      const text = readFileSync(join(root, path), 'utf8');
      const [, head = '', body = ''] = /^---\n([^]*?)^---\n([^]*)$/m.exec(text) ?? [];
      const lines = head.matchAll(/^['"]?([^'":\s]+)['"]?:\s*(\w+)$/gm);
      return { steps: new Map(Array.from(lines, ([, name = '', step = '']) => [name, step])), text: body.trim() };
    });

const titles = { major: 'Breaking changes', minor: 'New and changed', patch: 'Fixed and improved' };

/** What a version brings, as a section of CHANGELOG.md: each change once, by its largest step. */
export function sectionOf(version: string, changes: readonly Change[]): string {
  const sizes = Object.keys(titles) as (keyof typeof titles)[];
  const sizeOf = ({ steps }: Change) => sizes.find((size) => [...steps.values()].includes(size));
  const lists = sizes.map((size) => {
    const items = changes
      .filter((change) => sizeOf(change) === size)
      .map(({ steps, text }) => `- ${text.replaceAll(/\n(?=.)/g, '\n  ')} (${[...steps.keys()].join(', ')})\n`);
    return items.length === 0 ? '' : `\n### ${titles[size]}\n\n${items.join('')}`;
  });
  return `## ${version}\n${lists.join('')}`;
}

/** A changelog with a new section before those that it has. */
export function withSection(changelog: string, section: string): string {
  const first = changelog.search(/^## /m);
  const head = first < 0 ? changelog.trimEnd() : changelog.slice(0, first).trimEnd();
  const older = first < 0 ? '' : `\n${changelog.slice(first)}`;
  return `${head}\n\n${section}${older}`;
}
