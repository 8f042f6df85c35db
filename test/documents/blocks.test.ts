import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { suite, test } from 'node:test';
import { parseEnv } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { filesOf } from '../../scripts/tiers.ts';
import { allBlocks, type Block, blocksOf, documents, isExecutedByName, isProgram, place, root } from './blocks.ts';
import { commandLines, problemOfCommand } from './commands.ts';

/** Blocks of data and the like, and who looks at them. `''` is output or a diagram. */
const data = new Set(['', 'json', 'yaml', 'ini', 'xml', 'env', 'mermaid']);
/** Blocks that do something: each is run by a test, or says why not. */
const executable = new Set(['ts', 'tsx', 'js', 'sh', 'python', 'powershell', 'nginx', 'dockerfile']);
/** Programs run by themselves unless they say something else. */
const runsByItself = isProgram;

const blocks = allBlocks();
const failures = (check: (block: Block) => string | undefined): string[] =>
  blocks.flatMap((block) => {
    const problem = check(block);
    return problem === undefined ? [] : [`${place(block)}: ${problem}`];
  });

void suite('the code blocks of the documents', () => {
  test('are found: no fence is left over', () => {
    for (const document of documents()) {
      const text = readFileSync(join(root, document), 'utf8');
      const fences = text.match(/^[ \t]*(?:```|~~~)/gm) ?? [];
      assert.equal(fences.length, 2 * blocksOf(text, document).length, document);
    }
    assert.ok(blocks.length > 50, String(blocks.length));
  });

  test('each is of a kind that a test parses, compiles or runs, or says why it is not run', () => {
    const untested = failures((block) => {
      const { language, testedBy, notRun } = block;
      if (!data.has(language) && !executable.has(language)) return `nothing looks at "${language}"`;
      if (notRun === '') return 'give the reason: <!-- not run: … -->';
      if (testedBy !== undefined && notRun !== undefined) return 'it is run or not, not both';
      if (data.has(language) || runsByItself(block) || testedBy !== undefined || notRun !== undefined) return undefined;
      if (isExecutedByName(block)) return undefined;
      return 'name the test that runs it, <!-- tested by: path -->, or the reason, <!-- not run: … -->';
    });
    assert.deepEqual(untested, []);
  });

  test('a page has at most one that is not run', () => {
    const pages = Map.groupBy(
      blocks.filter(({ notRun }) => notRun !== undefined),
      ({ document }) => document,
    );
    const many = [...pages].filter(([, excerpts]) => excerpts.length > 1);
    assert.deepEqual(
      many.map(([document, excerpts]) => `${document}: ${excerpts.map(({ line }) => line).join(', ')}`),
      [],
    );
  });

  test('a test that a block names reads that document, or looks for its blocks', () => {
    const wrong = failures(({ testedBy, document }) => {
      if (testedBy === undefined) return undefined;
      if (!existsSync(join(root, testedBy))) return `there is no ${testedBy}`;
      const sources = [...filesOf(testedBy)].filter((path) => path !== 'test/documents/blocks.ts');
      const reads = (path: string): boolean => {
        const source = readFileSync(join(root, path), 'utf8');
        return source.includes('blocksTestedBy(') || source.includes(basename(document));
      };
      return sources.some((path) => reads(path)) ? undefined : `${testedBy} does not read it`;
    });
    assert.deepEqual(wrong, []);
  });

  test('JSON and YAML parse', () => {
    const wrong = failures(({ language, body }) => {
      try {
        if (language === 'json') JSON.parse(body);
        if (language === 'yaml') for (const one of parseAllDocuments(body)) one.toJS();
        return undefined;
      } catch (error) {
        return (error as Error).message;
      }
    });
    assert.deepEqual(wrong, []);
  });

  test('settings are those that the compose files, the chart or .env.example have', () => {
    const known = ['.env.example', 'docker-compose.yml', ...globSync('deploy/*.yml', { cwd: root })]
      .map((path) => readFileSync(join(root, path), 'utf8'))
      .join('\n');
    const names = (body: string) => Object.keys(parseEnv(body));
    const wrong = failures(({ language, body }) =>
      language === 'env' ? names(body).find((name) => !known.includes(name)) : undefined,
    );
    assert.deepEqual(wrong, []);
  });

  test('output and diagrams have no command in them', () => {
    const commands = /^\s*(?:\$ |npm |npx |node |docker |curl |mcp-rendezvous |redis-cli |iptables |helm |export )/m;
    assert.deepEqual(
      failures(({ language, body }) => (language === '' && commands.test(body) ? 'give it a language' : undefined)),
      [],
    );
  });

  test('every mcp-rendezvous command has arguments that the program takes', async () => {
    const found = blocks.flatMap((block) => commandLines(block).map((line) => ({ block, line })));
    assert.ok(found.length > 10, String(found.length));
    const wrong: string[] = [];
    for (const { block, line } of found) {
      const problem = await problemOfCommand(line);
      if (problem !== undefined) wrong.push(`${place(block)}: mcp-rendezvous ${line.join(' ')}: ${problem}`);
    }
    assert.deepEqual(wrong, []);
  });

  test('a block with a word is executed by a test that names its page and the word', () => {
    // This line is what names them: 'a-word' of a-page.md.
    const [block] = blocksOf('```sh a-word\n```\n', 'docs/a-page.md');
    assert.ok(block && isExecutedByName(block));
    assert.ok(!isExecutedByName({ ...block, word: ['another', 'word'].join('-') }));
    assert.ok(!isExecutedByName({ ...block, word: '' }));
  });

  test('annotations are read, of an indented block, too', () => {
    const text = '<!-- tested by: a.ts -->\n<!-- given: let x;\nlet y; -->\n\n  ```ts word\n  x;\n  ```\n';
    const [block] = blocksOf(text, 'a.md');
    const { line, word, body, given, testedBy } = block!;
    assert.deepEqual([line, word, body, given, testedBy], [5, 'word', 'x;\n', 'let x;\nlet y;', 'a.ts']);
  });
});
