import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Roster } from '../src/rooms/roster.ts';

interface Entry {
  id: string;
  value: number;
}

const ids = (roster: Roster<Entry>): string[] => Array.from(roster.values(), ({ id }) => id);

/** Fewer than it looks for one by one, and more. */
for (const count of [1, 8, 9, 40]) {
  test(`${count} members, as a Map has them`, () => {
    const roster = new Roster<Entry>();
    const map = new Map<string, Entry>();
    const names = Array.from({ length: count }, (_, index) => `p-${index}`);
    const put = (id: string, value: number) => {
      roster.set({ id, value });
      map.set(id, { id, value });
    };
    const same = () => {
      assert.deepEqual([...roster.values()], [...map.values()]);
      assert.equal(roster.size, map.size);
      for (const id of [...names, 'nobody']) {
        assert.deepEqual(roster.get(id), map.get(id));
        assert.equal(roster.has(id), map.has(id));
      }
    };
    for (const [value, id] of names.entries()) put(id, value);
    same();
    for (const id of names) put(id, -1);
    same();
    for (const id of [...names, 'nobody']) {
      assert.equal(roster.delete(id), map.delete(id));
      same();
    }
    put('again', 1);
    same();
  });

  test(`of ${count} members, those that are there may be taken out while one goes through them`, () => {
    const roster = new Roster<Entry>();
    for (let value = 0; value < count; value++) roster.set({ id: `p-${value}`, value });
    for (const { id } of roster.values()) roster.delete(id);
    assert.deepEqual(ids(roster), []);
  });
}
