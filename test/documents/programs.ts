import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Block, place, root } from './blocks.ts';

/** The TypeScript and JavaScript of the documents, as programs of an application. */
const run = promisify(execFile);

/** The file of a block, in the folder `src` of the application. */
export const fileOf = ({ document, line, language, file }: Block): string =>
  file ?? `${document.replaceAll(/[^\w]+/g, '-')}-${line}.${language}`;

/** The text of a block's program: what is given, the block, and what the reader does next. */
export const programOf = ({ given, body, ending }: Block): string => [given, body, ending].join('\n');

const strict = {
  target: 'es2024',
  module: 'nodenext',
  moduleDetection: 'force',
  lib: ['es2024', 'dom', 'dom.iterable', 'esnext.disposable'],
  types: ['node'],
  jsx: 'react-jsx',
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  noImplicitOverride: true,
  noImplicitReturns: true,
  verbatimModuleSyntax: true,
  erasableSyntaxOnly: true,
  allowJs: true,
  checkJs: true,
  noEmit: true,
  allowImportingTsExtensions: true,
  skipLibCheck: true,
};

/**
 * Writes the blocks into an application, and compiles them.
 *
 * @returns each error, with its place in the document
 */
export async function compile(app: string, blocks: Block[]): Promise<string[]> {
  const types = join(root, 'node_modules/@types');
  const compilerOptions = { ...strict, typeRoots: [types] };
  writeFileSync(join(app, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['src'] }));
  mkdirSync(join(app, 'src'), { recursive: true });
  for (const block of blocks) writeFileSync(join(app, 'src', fileOf(block)), programOf(block));
  try {
    await run(join(root, 'node_modules/.bin/tsc'), ['-p', app, '--pretty', 'false'], { cwd: app });
    return [];
  } catch (error) {
    const { stdout = '' } = error as { stdout?: string };
    const inDocument = (line: string): string => {
      const [, file = '', row = '0', message = ''] = /^src\/([^(]+)\((\d+),\d+\): (.*)$/.exec(line) ?? [];
      const block = blocks.find((one) => fileOf(one) === file);
      if (!block) return line;
      const within = Number(row) - block.given.split('\n').length;
      return `${place({ ...block, line: block.line + within })}: ${message}`;
    };
    return stdout.trim().split('\n').map(inDocument);
  }
}

/** What documents call their relay. */
export const exampleRelay = 'wss://relay.example';
