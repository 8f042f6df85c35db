import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { protocolFolder } from '../../scripts/wire.ts';
import type { Transcript } from '../../scripts/wire/transcript.ts';
import { damaged, read, transcriptNames } from '../wire/files.ts';

/** Debian's, whose module python3-cryptography is. */
const python = '/usr/bin/python3';

/** What the Python peer, which was written from PROTOCOL.md, makes of transcripts. */
function replay(transcripts: Transcript[]): { ok: boolean; why?: string }[] {
  const program = join(import.meta.dirname, 'replay.py');
  const { stdout, stderr } = spawnSync(python, ['-B', program, join(protocolFolder, 'schemas')], {
    input: transcripts.map((transcript) => `${JSON.stringify(transcript)}\n`).join(''),
    encoding: 'utf8',
    maxBuffer: 16_777_216,
  });
  const answers = stdout.split('\n').filter((line) => line !== '');
  assert.equal(answers.length, transcripts.length, stderr);
  return answers.map((line) => JSON.parse(line) as { ok: boolean; why?: string });
}

suite('the transcripts of the wire in Python', () => {
  test('are replayed, byte for byte', () => {
    const answers = replay(transcriptNames.map(read));
    for (const [n, { ok, why }] of answers.entries()) assert.ok(ok, `${transcriptNames[n]}: ${why}`);
  });

  test('are not replayed with a digit or a member changed', () => {
    const changed = transcriptNames.flatMap((name) =>
      Array.from(damaged(name), ({ where, transcript }) => ({ where: `${name}, ${where}`, transcript })),
    );
    assert.ok(changed.length > 100);
    const answers = replay(changed.map(({ transcript }) => transcript));
    for (const [n, { ok }] of answers.entries()) assert.ok(!ok, changed[n]!.where);
  });
});
