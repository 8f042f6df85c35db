import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { argv } from 'node:process';

/**
 * Finds phrases and names of our own, for which the field has terms, in documents, comments, and
 * messages that users see.
 *
 * Usage: node scripts/prose.ts
 */
const root = join(import.meta.dirname, '..');

/** What is checked. A document's code, quotations and HTML comments are not. */
const documents = ['*.md', '.changeset/*.md', '{docs,protocol,sdk,server,console,bench,deploy,examples}/**/*.md'];
const sources = '{protocol,sdk,server,console}/src/**/*.{ts,tsx,lua}';
const others = [
  '{protocol,sdk,server,bench,test,scripts,examples}/**/*.{ts,tsx,py,sh}',
  'deploy/**/*.{sh,yaml,yml,json,conf}',
];
const exclude = ['**/{node_modules,dist,src}/**', 'scripts/prose.ts', 'test/language.test.ts'];

type Phrase = [phrase: RegExp, use: string];

/** They are found across line breaks. */
const phrases: Phrase[] = [
  [/\bwho is there\b/i, 'online peers'],
  [/\bwhat it names\b/i, 'the configured …'],
  [/\bthat one(?=[.,;:])/i, 'the noun'],
  [/(?<!in )\bthe way of\b/i, 'the path of, how'],
  [/\bparts? from (?:it|them|its|the)\b/i, 'drain, disconnect'],
  [/\b(?:is|are|was|were) told of\b/i, 'notified of, receives'],
  [/\b(?:it|that|which) is none\b/i, 'invalid, not a …'],
  [/\bof one's own\b/i, 'custom'],
  [/\bhas to be a (?:number|whole)\b/i, 'must be'],
  [/\bin good order\b/i, 'cleanly'],
  [/\bone a line\b/i, 'one per line'],
  [/\bmakes? no sense\b/i, 'is invalid'],
  [/\bor not even that\b/i, 'the case in a sentence'],
  [/\bThere is nothing at this address\b/i, 'Not found.'],
  [/\bMore than this relay takes\b/i, 'Rate limit exceeded'],
  [/\bno connection to tell about\b/i, 'Not connected.'],
  [/\bMay it\?/, 'Allow this?'],
];

/** In documents and comments only: identifiers still have them. */
const ofProse: Phrase[] = [
  [/\brefusals?\b/i, 'rejection'],
  [/\b(?:it|this|that) was said to\b/i, 'the present; history is for the changelog'],
];

/** Old names. An identifier is split into its words, so `#rosterOf` has `roster`. */
const names = new Map([
  ['rota', 'a Set and one interval'],
  ['roster', 'a Map'],
  ['barred', 'revocations'],
  ['parcel', 'batch'],
  ['bury', 'sweep, discard'],
  ['keyring', 'key store'],
  ['lane', 'frame channel'],
  ['outbox', 'send queue'],
]);

/** Files whose name is an old name. */
const oldFiles =
  /\/(?:rota|roster|barred|parcel|keyring|lane|flow|outbox|exchange|dispatch|trial|problem|own|refuse|resumable|deadline|late|closing|pool)\.tsx?$/;

/** Text of a source with comments joined, so that a phrase is found across lines. */
const joined = (text: string): string =>
  text.replaceAll(/\n\s*(?:\*(?!\/)|\/\/|--|#)\s?/g, ' ').replaceAll(/['"`]\s*\+?\s*\n\s*['"`]/g, '');

/** Words of the identifiers and of the text, in lower case. */
const words = (text: string): Set<string> =>
  new Set((text.match(/[A-Z]?[a-z]+|[A-Z]+(?![a-z])/g) ?? []).map((word) => word.toLowerCase()));

const found = (text: string, list: Phrase[]): string[] =>
  list.flatMap(([phrase, use]) => {
    const [match] = phrase.exec(text) ?? [];
    return match === undefined ? [] : [`"${match}": write ${use}`];
  });

const oldNames = (text: string): string[] => {
  const used = words(text);
  return [...names].filter(([name]) => used.has(name)).map(([name, use]) => `"${name}": name it ${use}`);
};

/** What a document says itself: no code, no quotations, no HTML comments; a paragraph is a line. */
export const proseOf = (markdown: string): string =>
  markdown
    .replaceAll(/^( *)```[^]*?^\1```$/gm, '')
    .replaceAll(/<!--[^]*?-->/g, '')
    .replaceAll(/^>.*$/gm, '')
    .replaceAll(/`[^`\n]*`/g, '``')
    .replaceAll(/"[^"\n]*"|“[^”\n]*”/g, '""')
    .replaceAll(/\]\([^)]*\)/g, ']')
    .replaceAll(/(?<!\n)\n(?!\n)/g, ' ');

/** Comments of a source, each on a line of its own. */
const commentsOf = (source: string): string =>
  Array.from(source.matchAll(/\/\*[^]*?\*\/|(?<=^|\s)\/\/.*(?:\n\s*\/\/.*)*/g), ([comment]) => joined(comment)).join(
    '\n',
  );

/** What is wrong with a source: the word and what to write instead. */
export const problemsOfSource = (text: string): string[] => [
  ...found(joined(text), phrases),
  ...found(commentsOf(text), ofProse),
  ...oldNames(text),
];

/** What is wrong with a document. */
export function problemsOfDocument(text: string): string[] {
  const prose = proseOf(text);
  const headers = text.match(/^ *\|.*\|(?=\n *\|[ :|-]+\|$)/gm) ?? [];
  return [
    ...found(prose, [...phrases, ...ofProse]),
    ...oldNames(prose),
    ...headers.filter((row) => /\|\s*\|/.test(row)).map((row) => `a column without a header: ${row.trim()}`),
  ];
}

const files = (patterns: string | string[], ignored: string[] = ['**/{node_modules,dist}/**']): string[] =>
  globSync(patterns, { cwd: root, exclude: ignored }).map((path) => path.replaceAll('\\', '/'));

/** Every problem of the repository, and how many files were read. */
export function problemsOfProse(): { read: number; problems: string[] } {
  const of = (paths: string[], check: (text: string, path: string) => string[]) =>
    paths
      .toSorted()
      .flatMap((path) => check(readFileSync(join(root, path), 'utf8'), path).map((problem) => `${path}: ${problem}`));
  const product = files(sources);
  const more = files(others, exclude);
  const texts = files(documents, ['**/{node_modules,dist}/**', '**/CHANGELOG.md']);
  const problems = [
    ...of(product, (text, path) => [...problemsOfSource(text), ...(oldFiles.test(path) ? ['an old file name'] : [])]),
    ...of(more, (text) => [...found(joined(text), phrases), ...found(commentsOf(text), ofProse)]),
    ...of(texts, problemsOfDocument),
  ];
  return { read: product.length + more.length + texts.length, problems };
}

if (argv[1] === import.meta.filename) {
  const { problems } = problemsOfProse();
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length === 0 ? 0 : 1;
}
