import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { argv } from 'node:process';
import { channelTranscripts } from './wire/channels.ts';
import { relayedTranscripts } from './wire/relayed.ts';
import { schemaFiles } from './wire/schemas.ts';
import { signalingTranscripts } from './wire/signaling.ts';
import type { Transcript } from './wire/transcript.ts';

/**
 * Writes what others need to implement PROTOCOL.md: JSON Schemas of what is JSON, and transcripts
 * with fixed keys that any language can replay. A test compares them with the code.
 *
 * Usage: node --conditions=mcp-rendezvous-source scripts/wire.ts
 */
export const protocolFolder = join(import.meta.dirname, '../protocol');

export const transcripts = async (): Promise<Record<string, Transcript>> => ({
  ...(await signalingTranscripts()),
  ...(await channelTranscripts()),
  ...(await relayedTranscripts()),
});

/** The text of each file, by its path in the package. */
export async function wireFiles(): Promise<Record<string, string>> {
  const folders = { schemas: schemaFiles(), transcripts: await transcripts() };
  return Object.fromEntries(
    Object.entries(folders).flatMap(([folder, files]) =>
      Object.entries(files).map(([name, value]) => [`${folder}/${name}`, `${JSON.stringify(value, null, 2)}\n`]),
    ),
  );
}

if (argv[1] === import.meta.filename) {
  for (const folder of ['schemas', 'transcripts'])
    rmSync(join(protocolFolder, folder), { recursive: true, force: true });
  for (const [path, text] of Object.entries(await wireFiles())) {
    mkdirSync(dirname(join(protocolFolder, path)), { recursive: true });
    writeFileSync(join(protocolFolder, path), text);
  }
}
