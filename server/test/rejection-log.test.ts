import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { eventually } from '../../test/support/wait.ts';
import { environment } from '../src/config/environment.ts';
import { closings, limits } from '../src/rejection-log.ts';
import { type RunningApp, startApp } from './support/app.ts';
import { cases, type Line, linesOf, texts } from './support/rejections.ts';

// Side by side, as some wait; each has a relay of its own.
void suite('every refusal is in the log at its default level', { concurrency: 8 }, () => {
  for (const [kind, { env, provoke, whose }] of Object.entries(cases)) {
    test(`${kind}: what, whose, and what to do`, async (t) => {
      const keys = env?.['RELAY_SECRET'] === '' ? { RELAY_SECRET: '' } : {};
      const app = await startApp(t, { LOG_LEVEL: 'info', ...env, ...keys });
      const other = await provoke(app, t);
      const log = (): string =>
        (other && typeof other === 'object' && 'log' in other ? (other as RunningApp) : app).log();
      const said = (): Line | undefined => linesOf(log()).find(({ msg }) => msg === texts[kind]);
      await eventually(() => said() !== undefined).catch(() => assert.fail(`no such line in:\n${log()}`));
      const line = said();
      for (const [name, value] of Object.entries(whose))
        assert.equal(line?.[name], value, `${name} of ${JSON.stringify(line)}`);
    });
  }

  test('each text says what happened, then what to do, and names only variables that there are', () => {
    const known = new Set([...Object.keys(environment.shape), 'MAX_PENDING_JOINS']);
    for (const [kind, text] of Object.entries(texts)) {
      assert.match(text, /^[A-Z][^.]+(?:\.[a-z\d][^.]*)*[.] [A-Z][^]+\.$/, kind);
      for (const [name] of text.matchAll(/\b[A-Z]+_[A-Z_]+\b/g)) assert.ok(known.has(name), `${kind}: ${name}`);
      if (kind in limits) assert.ok(text.includes(kind), kind);
    }
  });

  test('each variable that limits something is in the table', () => {
    const sizes = ['MAX_FRAME_BYTES', 'MAX_JOIN_BYTES', 'MAX_BUFFERED_BYTES', 'MAX_TOKEN_LIFETIME_SECONDS'];
    const named = Object.keys(environment.shape).filter((name) => name.startsWith('MAX_') && !name.endsWith('_BURST'));
    // A burst is named with its rate. What `sizes` limit has a code of its own; the last one slows
    // down and refuses nothing.
    const others = [...sizes, 'MAX_RELAYED_BYTES_PER_SECOND_TOTAL'];
    assert.deepEqual([...Object.keys(limits), ...others].toSorted(), named.toSorted());
    assert.ok(sizes.every((name) => Object.values(closings).some((text) => text.includes(name))));
  });

  test('nothing is refused beside the table', () => {
    const code = (file: string): string => readFileSync(join(import.meta.dirname, '../src', file), 'utf8');
    assert.doesNotMatch(
      code('http/app.ts') + code('rooms/rooms.ts') + code('connections/connection.ts'),
      /limited\.inc/,
    );
  });
});
