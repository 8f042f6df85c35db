import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { join, posix } from 'node:path';

/**
 * The pages of the site: what is in `docs/`, and the documents at the top of the repository. Links
 * between documents lead to pages, and links to anything else to the repository.
 */

/** A page as the site serves it. */
export interface Page {
  /** Where it is on the site, such as `guides/http.md`. */
  path: string;
  /** Where it comes from, such as `docs/guides/http.md`. */
  source: string;
  title: string;
  /** Its first paragraph, without Markdown. */
  summary: string;
  /** Markdown whose links are right at `path`. */
  text: string;
}

/** Documents whose place on the site is not their place in `docs/`. */
const elsewhere: Record<string, string> = {
  'AGENT.md': 'start/agents.md',
  'PROTOCOL.md': 'reference/protocol.md',
  'ARCHITECTURE.md': 'internals/architecture.md',
  'CONTRIBUTING.md': 'internals/contributing.md',
  'SECURITY.md': 'reference/security.md',
  'CHANGELOG.md': 'reference/changelog.md',
  'docs/security-model.md': 'reference/security-model.md',
};

/**
 * The sections in their order, with their folder and the pages that come first. Other pages of the
 * folder follow by title.
 */
const sections: [title: string, folder: string, first: string[]][] = [
  ['Start', 'start', ['quickstart', 'two-machines', 'concepts', 'agents']],
  [
    'Guides',
    'guides',
    [
      'clients',
      'command-line',
      'http',
      'config-file',
      'service',
      'http-proxies',
      'node',
      'browser',
      'react',
      'python',
      'sdk',
      'errors',
      'tokens',
    ],
  ],
  [
    'Run a relay',
    'run',
    [
      'compose',
      'production',
      'kubernetes',
      'configuration',
      'proxies',
      'turn',
      'redis',
      'scaling',
      'keys',
      'webhooks',
      'upgrades',
    ],
  ],
  ['Troubleshooting', 'troubleshooting', ['doctor', 'symptoms', 'codes']],
  [
    'Reference',
    'reference',
    ['cli', 'environment', 'http-api', 'metrics', 'protocol', 'wire', 'custom-transport', 'security', 'security-model'],
  ],
  ['Internals', 'internals', ['architecture', 'decisions/index', 'presence', 'reliability', 'performance', 'scale']],
];

/** A heading's anchor, as the forges make it. The site makes the same one. */
export const anchorOf = (heading: string): string =>
  heading
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}_\- ]/gu, '')
    .replaceAll(' ', '-');

/** Markdown with every link outside of its code blocks replaced. */
function withLinks(text: string, replace: (link: string) => string): string {
  return text
    .split(/(^ *```[^]*?^ *```)/m)
    .map((part, turn) =>
      turn % 2 ? part : part.replaceAll(/\]\(([^)\s]+)\)/g, (_, link: string) => `](${replace(link)})`),
    )
    .join('');
}

/** Text of a paragraph without Markdown. */
const plain = (text: string): string =>
  text
    .replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll(/[*`]/g, '')
    .replaceAll(/\s+/g, ' ')
    .trim();

/** The web page of the repository, where links to sources lead. */
function homeOf(root: string): string {
  const { repository } = JSON.parse(readFileSync(join(root, 'sdk/package.json'), 'utf8')) as {
    repository: { url: string };
  };
  return repository.url.replace(/^git\+/, '').replace(/\.git$/, '');
}

/**
 * All pages.
 * @param root of the repository
 * @throws Error that lists every link to a file that does not exist
 */
export function pagesOf(root: string): Page[] {
  const inDocs = globSync('docs/**/*.md', { cwd: root, exclude: ['docs/site/**'] }).map((path) =>
    path.replaceAll('\\', '/'),
  );
  const places = new Map([
    ...inDocs.map((path): [string, string] => [path, path.slice('docs/'.length).replace(/README\.md$/, 'index.md')]),
    ...Object.entries(elsewhere).filter(([path]) => existsSync(join(root, path))),
  ]);
  const home = homeOf(root);
  const broken: string[] = [];
  const pages = [...places].map(([source, path]): Page => {
    const original = readFileSync(join(root, source), 'utf8').replaceAll(/^ *<!--[^]*?-->\n/gm, '');
    const text = withLinks(original, (link) => {
      if (/^(?:\w+:|#)/.test(link)) return link;
      const [file = '', anchor] = link.split('#');
      const target = posix.normalize(posix.join(posix.dirname(source), file)).replace(/\/$/, '');
      if (!existsSync(join(root, target))) {
        broken.push(`${source}: ${link}`);
        return link;
      }
      const folder = statSync(join(root, target)).isDirectory();
      const place = places.get(folder ? `${target}/README.md` : target) ?? assetOf(target);
      const end = anchor === undefined ? '' : `#${anchor}`;
      if (place === undefined) return `${home}/${folder ? 'tree' : 'blob'}/main/${target}${end}`;
      const way = posix.relative(posix.dirname(path), place);
      return `${way.startsWith('.') ? way : `./${way}`}${end}`;
    });
    const [, title = path] = /^# (.+)$/m.exec(text) ?? [];
    const [, paragraph = ''] = /^# .+\n\n([^#|`\n!][^]*?)(?:\n\n|$)/m.exec(text) ?? [];
    return { path, source, title: plain(title), summary: plain(paragraph), text };
  });
  if (broken.length > 0) throw new Error(`These links lead nowhere:\n${broken.join('\n')}`);
  return pages;
}

/** Where a picture of `docs/` is on the site; nothing for any other file. */
const assetOf = (path: string): string | undefined =>
  path.startsWith('docs/') && /\.(?:png|svg)$/.test(path) ? path.slice('docs/'.length) : undefined;

/** The pages of each section, in the order in which the site and `llms.txt` list them. */
export function contentsOf(pages: readonly Page[]): { title: string; folder: string; pages: Page[] }[] {
  return sections.map(([title, folder, first]) => {
    const turn = ({ path }: Page): number => {
      const place = first.indexOf(path.slice(folder.length + 1, -'.md'.length));
      return place < 0 ? first.length : place;
    };
    const own = pages.filter(({ path }) => path.startsWith(`${folder}/`));
    const listed = own.filter(({ path }) => !/\/decisions\/(?!index)/.test(path));
    const byTurn = (one: Page, other: Page) => turn(one) - turn(other) || one.title.localeCompare(other.title);
    return { title, folder, pages: listed.toSorted(byTurn) };
  });
}

/** `llms.txt` (https://llmstxt.org): every page as Markdown, with what it is about. */
export function llmsOf(pages: readonly Page[]): string {
  const index = pages.find(({ path }) => path === 'index.md');
  const line = ({ path, title, summary }: Page) =>
    `- [${title}](${path})${summary ? `: ${summary.split(/(?<=\.) /)[0]}` : ''}\n`;
  const lists = contentsOf(pages).map((section) => `\n## ${section.title}\n\n${section.pages.map(line).join('')}`);
  return `# ${index?.title ?? ''}\n\n> ${index?.summary ?? ''}\n${lists.join('')}`;
}

/** Files that the pages show, with their places on the site. */
export const assetsOf = (root: string): [source: string, path: string][] =>
  globSync('docs/**/*.{png,svg}', { cwd: root, exclude: ['docs/site/**'] }).map((path) => {
    const source = path.replaceAll('\\', '/');
    return [join(root, source), assetOf(source)!];
  });
