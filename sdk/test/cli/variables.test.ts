import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { environmentOfChild, variables } from '../../src/cli/variables.ts';

const source = fileURLToPath(new URL('../../src', import.meta.url));

test('a program that is started sees no variable that any source file names', () => {
  // In capitals and quotes: what is read, and what a message or the help tells the user to set.
  // Those of the system and of MCP clients, which say where folders are, are no secrets.
  const others = ['cli/install/clients.ts', 'cli/launch-command.ts'];
  const named = globSync('cli/**/*.ts', { cwd: source, exclude: others }).flatMap((file) => {
    const text = readFileSync(`${source}/${file}`, 'utf8');
    const read = [...text.matchAll(/\benv(?:\.|\[['"])([A-Z][A-Z0-9_]+)/g)].map(([, name]) => name!);
    const told = [...text.matchAll(/\bMCP_RENDEZVOUS_[A-Z_]+[A-Z]\b|\bRELAY_SECRET\b/g)].map(([name]) => name);
    return [...read, ...told];
  });
  const names = new Set([...named, ...Object.values<string>(variables)]);
  assert.ok(names.size >= 4);
  for (const name of names) assert.deepEqual(environmentOfChild({ [name]: 'x', [name.toLowerCase()]: 'y' }), {}, name);
});

test('what is hidden, and nothing else', () => {
  const own = fc.oneof(
    fc.constantFrom('RELAY_SECRET', 'ADMIN_TOKEN', 'TURN_SECRET', 'TURN_CREDENTIALS_TOKEN', 'WEBHOOK_SECRET'),
    fc.stringMatching(/^MCP_RENDEZVOUS_\w*$/),
  );
  const other = fc
    .stringMatching(/^[A-LN-QS-SU-Z]\w*$/)
    .filter((name) => !['ADMIN_TOKEN', 'WEBHOOK_SECRET'].includes(name.toUpperCase()));
  const names = fc.record({ own: fc.array(own), other: fc.array(other), lent: fc.array(other) });
  fc.assert(
    fc.property(names, ({ own: hidden, other: plain, lent }) => {
      const env = Object.fromEntries([...hidden, ...plain, ...lent].map((name) => [name, 'x']));
      const lentUpper = new Set(lent.map((name) => name.toUpperCase()));
      const expected = plain.filter((name) => !lentUpper.has(name.toUpperCase()));
      assert.deepEqual(new Set(Object.keys(environmentOfChild(env, lent))), new Set(expected));
    }),
  );
});
