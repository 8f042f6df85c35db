import { isDeepStrictEqual } from 'node:util';
import { parse, stringify } from 'smol-toml';
import {
  applyEdit,
  type EntryPlace,
  lineBreakOf,
  revertEdit,
  type ServerEntry,
  type TextEdit,
  UnreadableConfig,
} from './text-edit.ts';

type Table = Record<string, unknown>;

/** Edits the text of a TOML configuration: an entry is a table at the end, the rest stays. */
export class TomlConfig {
  readonly #text: string;
  readonly #place: EntryPlace;
  readonly #data: Table;

  /** @throws UnreadableConfig when it is not TOML, or has something else where servers belong */
  constructor(text: string, place: EntryPlace) {
    this.#text = text;
    this.#place = place;
    this.#data = read(text);
    const servers = this.#data[place.key];
    if (servers !== undefined && (typeof servers !== 'object' || servers === null || Array.isArray(servers))) {
      throw new UnreadableConfig(`"${place.key}" is not a table`);
    }
  }

  get servers(): Table {
    return (this.#data[this.#place.key] ?? {}) as Table;
  }

  /**
   * The edit that adds the entry, which must not be there.
   *
   * @throws UnreadableConfig if a table at the end is not possible
   */
  add(entry: ServerEntry): TextEdit {
    const { key, name } = this.#place;
    const text = this.#text;
    const eol = lineBreakOf(text);
    const apart = text.trim() === '' ? '' : eol;
    const start = text === '' || text.endsWith('\n') ? apart : eol + apart;
    const table = `${stringify({ [key]: { [name]: entry } }).trim()}\n`;
    const edit = { offset: text.length, removed: '', inserted: start + table.replaceAll('\n', eol) };
    const expected = { ...this.#data, [key]: { ...this.servers, [name]: entry } };
    if (isSame(applyEdit(text, edit), expected)) return edit;
    throw new UnreadableConfig(`"${key}" is not written as tables, so that no table can be added`);
  }

  /**
   * The text without the entry.
   *
   * @param edit what `add` returned when it was added, if that is known
   * @throws UnreadableConfig if only a person can take it out
   */
  remove(edit: Omit<TextEdit, 'offset'> | undefined): string {
    const reverted = edit && revertEdit(this.#text, edit);
    if (reverted !== undefined && this.#isWithoutEntry(reverted)) return reverted;
    const removed = this.#withoutTables();
    if (this.#isWithoutEntry(removed)) return removed;
    throw new UnreadableConfig('the entry cannot be taken out without changing something else');
  }

  /** Without the lines of the entry's table and of the tables in it. */
  #withoutTables(): string {
    const { key, name } = this.#place;
    const own = new RegExp(`^[ \\t]*\\[\\[?[ \\t]*${key}[ \\t]*\\.[ \\t]*["']?${name}["']?[ \\t]*[.\\]]`);
    let inside = false;
    const lines = this.#text.split(/(?<=\n)/).filter((line) => {
      if (/^[ \t]*\[/.test(line)) inside = own.test(line);
      return !inside;
    });
    return lines.join('');
  }

  #isWithoutEntry(text: string): boolean {
    const { key, name } = this.#place;
    const { [name]: _, ...others } = this.servers;
    const { [key]: __, ...rest } = this.#data;
    return isSame(text, { ...rest, ...(Object.keys(others).length > 0 && { [key]: others }) });
  }
}

function read(text: string): Table {
  try {
    return parse(text);
  } catch (error) {
    const { line } = error as { line?: number };
    throw new UnreadableConfig(`${line === undefined ? 'it' : `line ${line}`} is not valid TOML`);
  }
}

function isSame(text: string, expected: Table): boolean {
  try {
    // What the parser returns has no prototype; key order does not matter.
    return isDeepStrictEqual(plain(parse(text)), plain(expected));
  } catch {
    return false;
  }
}

/** Tables as plain objects, whichever prototype they have. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, plain(member)]));
}
