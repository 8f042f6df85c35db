import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { blocksTestedBy } from '../../test/documents/blocks.ts';
import { freePort } from '../../test/support/port.ts';
import { eventually } from '../../test/support/wait.ts';
import { Terminal } from '../../test/support/terminal.ts';
import { startApp } from './support/app.ts';
import { RawPeer, testToken } from './support/peer.ts';

test('the receiver of the document verifies and counts', { timeout: 120_000 }, async (t) => {
  const [create, receiver] = blocksTestedBy(import.meta.filename);
  assert.ok(create && receiver);
  const terminal = new Terminal(t);
  const secret = (await terminal.run(create.body)).trim();
  const port = await freePort();
  await writeFile(join(terminal.folder, 'package.json'), '{ "type": "module" }');
  await writeFile(join(terminal.folder, 'receiver.ts'), receiver.body);
  const running = terminal.start(`PORT=${port} WEBHOOK_SECRET=${secret} exec node receiver.ts`);
  const url = `http://127.0.0.1:${port}/`;
  const forged = async () => (await fetch(url, { method: 'POST', body: '{}' }).catch(() => undefined))?.status;
  await eventually(async () => (await forged()) === 401);
  const app = await startApp(t, { WEBHOOK_URL: url, WEBHOOK_SECRET: secret });
  const ada = await RawPeer.join(app.url, testToken({ room: 'desk', role: 'server', subject: 'ada' }));
  await running.says(/^peer\.online ada in desk: 1 online$/m);
  ada.send({ type: 'leave' });
  await running.says(/^peer\.offline ada in desk: 0 online$/m);
});
