import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { protocolFolder, wireFiles } from '../../scripts/wire.ts';
import { examples } from '../support/protocol-document.ts';
import { damaged, read, transcriptNames } from './files.ts';
import { replay } from './replay.ts';

suite('what others need to implement the wire', () => {
  test('is what the code makes of it', async () => {
    const made = await wireFiles();
    for (const [path, text] of Object.entries(made)) {
      assert.equal(await readFile(join(protocolFolder, path), 'utf8'), text, 'Run: npm run wire');
    }
    for (const folder of ['schemas', 'transcripts']) {
      const expected = Object.keys(made).filter((path) => path.startsWith(folder));
      const found = (await readdir(join(protocolFolder, folder))).map((name) => `${folder}/${name}`);
      assert.deepEqual(found.toSorted(), expected.toSorted());
    }
  });

  test('is in the package', () => {
    const { files } = JSON.parse(readFileSync(join(protocolFolder, 'package.json'), 'utf8')) as { files: string[] };
    for (const folder of ['schemas', 'transcripts']) assert.ok(files.includes(folder), folder);
  });

  test('has the numbers of the examples of PROTOCOL.md', () => {
    const example = (wanted: string, n = 0): Record<string, unknown> =>
      JSON.parse(examples().filter(({ word }) => word === wanted)[n]!.body) as Record<string, unknown>;
    const auth = example('auth');
    const { proofs, sessionKey } = read('framed-secret.json').derived;
    assert.deepEqual([proofs, sessionKey], [auth['proofs'], auth['sessionKey']]);
    for (const [n, name] of ['relayed.json', 'relayed-secret.json'].entries()) {
      const { messages, hash, exported, begins } = example('relayed', n);
      const { derived } = read(name);
      assert.deepEqual([derived['noise'], derived['hash'], derived['exported']], [messages, hash, exported]);
      const { session, sessionKey: key, pathKey } = derived;
      assert.deepEqual({ session, sessionKey: key, pathKey }, begins);
    }
  });

  for (const name of transcriptNames) {
    test(`${name} is replayed by the code of the SDK and the relay`, () => replay(read(name)));

    test(`${name} is not replayed with a digit or a member changed`, async () => {
      let changed = 0;
      for (const { where, transcript } of damaged(name)) {
        await assert.rejects(replay(transcript), where);
        changed++;
      }
      assert.ok(changed >= read(name).steps.length);
    });
  }
});
