import { globSync, readFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { testFiles } from '../../scripts/tiers.ts';

/** The code blocks of the documents, wherever the documents are. */
export const root = join(import.meta.dirname, '../..');
const patterns = ['*.md', '{docs,protocol,sdk,server,console,bench,deploy,examples}/**/*.md'];
const exclude = ['**/{node_modules,dist}/**', '**/CHANGELOG.md'];

/** Every document, as a path from the top with slashes. */
export const documents = (): string[] =>
  globSync(patterns, { cwd: root, exclude })
    .map((path) => path.replaceAll('\\', '/'))
    .toSorted();

export interface Block {
  document: string;
  /** The line of the opening fence. */
  line: number;
  /** What stands behind the fence; an empty language is output or a diagram. */
  language: string;
  /** The word behind the language, by which a test finds the blocks that it executes. */
  word: string;
  body: string;
  /** Code that a reader has already. It is compiled and run before the block. */
  given: string;
  /** Code behind the block, with which its program looks at what came of it and ends. */
  ending: string;
  /** Which tests are run of a program that has many and takes minutes: a pattern of their names. */
  only?: string;
  /** The name of the file that the block is, which other blocks of the page may import. */
  file?: string;
  /** How a program is run: with which role's token, or in a page. */
  runAs?: string;
  /** The test that executes the block. */
  testedBy?: string;
  /** Why the block is not run. */
  notRun?: string;
}

const keys = new Map<string, keyof Block>([
  ['given', 'given'],
  ['then', 'ending'],
  ['file', 'file'],
  ['only', 'only'],
  ['run as', 'runAs'],
  ['tested by', 'testedBy'],
  ['not run', 'notRun'],
]);

/** The annotations right before a fence: HTML comments of the form `<!-- key: value -->`. */
function annotations(comments: string): Partial<Block> {
  const found: Partial<Block> = {};
  for (const [, text = ''] of comments.matchAll(/<!--([^]*?)-->/g)) {
    const [, key = '', value = ''] = /^\s*([a-z ]+?):\s*([^]*?)\s*$/.exec(text) ?? [];
    const name = keys.get(key);
    if (name !== undefined) Object.assign(found, { [name]: value });
  }
  return found;
}

const fence = /^((?:[ \t]*<!--[^]*?-->\n+)*)([ \t]*)```([^\n]*)\n([^]*?)^\2```[ \t]*$/gm;

export const blocksOf = (text: string, document: string): Block[] =>
  Array.from(text.matchAll(fence), ({ index, 1: comments = '', 2: indent = '', 3: info = '', 4: body = '' }) => {
    const [language = '', ...words] = info.trim().split(/\s+/);
    return {
      document,
      line: text.slice(0, index + comments.length).split('\n').length,
      language,
      word: words.join(' '),
      body: indent === '' ? body : body.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
      given: '',
      ending: '',
      ...annotations(comments),
    };
  });

/** All blocks but those of PROTOCOL.md, whose own test executes them all. */
export const allBlocks = (): Block[] =>
  documents()
    .filter((document) => document !== 'PROTOCOL.md')
    .flatMap((document) => blocksOf(readFileSync(join(root, document), 'utf8'), document));

/** The blocks that name a test file with `tested by`, in their order. */
export function blocksTestedBy(testFile: string): Block[] {
  const path = relative(root, testFile).replaceAll('\\', '/');
  return allBlocks().filter(({ testedBy }) => testedBy === path);
}

/**
 * Whether a test executes the block by the word behind its fence: it names the document and the
 * word.
 */
export function isExecutedByName({ document, word }: Block): boolean {
  if (word === '') return false;
  const name = new RegExp(`['"\`](?:\\w+ )?${word}['"\`]`);
  return testFiles().some((file) => {
    const source = readFileSync(join(root, file), 'utf8');
    return source.includes(basename(document)) && name.test(source);
  });
}

/** Where a block is, for messages. */
export const place = ({ document, line }: Block): string => `${document}:${line}`;

export const isProgram = ({ language }: Block): boolean => /^(?:ts|tsx|js)$/.test(language);
