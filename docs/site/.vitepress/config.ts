import { join } from 'node:path';
import { anchorOf, contentsOf, pagesOf } from '../pages.ts';

const root = join(import.meta.dirname, '../../..');
const sdk = { text: 'SDK', link: '/reference/sdk/' };

/** A language of the protocol's document, which has no grammar. */
const uncoloured = (name: string) => ({ name, scopeName: `source.${name}`, patterns: [], repository: {} });

/** What this file uses of markdown-it. */
interface Markdown {
  renderer: { rules: Record<string, ((...input: never[]) => string) | undefined> };
}

/** Lets long names and paths, such as `MAX_CONNECTIONS_PER_ADDRESS`, wrap on a phone. */
function wrapNames({ renderer: { rules } }: Markdown): void {
  for (const kind of ['code_inline', 'text']) {
    const render = rules[kind];
    if (render) rules[kind] = (...input) => render(...input).replaceAll(/(?<=\w)[/_](?=\w)/g, '$&<wbr>');
  }
}

/** Tables have up to four columns, which a phone should show without scrolling sideways. */
const onPhones = '@media (max-width: 640px) { .vp-doc table :is(th, td) { padding: 6px 8px; font-size: 13px } }';

const sidebar = contentsOf(pagesOf(root)).map(({ title, folder, pages }) => {
  const items = pages.map((page) => ({
    text: page.title,
    link: `/${page.path.replace(/(?:(?<=\/)index)?\.md$/, '')}`,
  }));
  return { text: title, items: folder === 'reference' ? [...items, sdk] : items };
});

// VitePress reads the configuration from the default export.
// oxlint-disable-next-line import/no-default-export
export default {
  title: 'mcp-rendezvous',
  description: 'Use an MCP server from anywhere, without opening a port',
  lang: 'en',
  srcDir: 'dist/content',
  outDir: 'dist/www',
  cacheDir: 'node_modules/.cache/vitepress',
  cleanUrls: true,
  head: [
    ['link', { rel: 'icon', href: 'data:,' }],
    ['style', {}, onPhones],
  ],
  // Addresses of the reader's own machine, in examples.
  ignoreDeadLinks: 'localhostLinks',
  markdown: {
    anchor: { slugify: anchorOf },
    config: wrapNames,
    languages: ['hex', 'formula', 'sdp'].map(uncoloured),
  },
  themeConfig: {
    sidebar,
    nav: sidebar.map(({ text, items }) => ({ text, link: items[0]!.link })),
    outline: [2, 3],
    search: { provider: 'local' },
  },
};
