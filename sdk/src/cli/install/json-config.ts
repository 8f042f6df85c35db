import { isDeepStrictEqual } from 'node:util';
import { createScanner, type Node, type ParseError, parseTree } from 'jsonc-parser';
import {
  type EntryPlace,
  lineBreakOf,
  revertEdit,
  type ServerEntry,
  type TextEdit,
  UnreadableConfig,
} from './text-edit.ts';

/** The parser's `SyntaxKind`, whose ambient const enum this compiler cannot read. */
const kinds = { comma: 5, lineComment: 12, blockComment: 13, lineBreak: 14, space: 15, end: 17 } as const;

/**
 * Edits the text of a JSON configuration: only what belongs to the entry changes, in the
 * indentation and with the line breaks that are there.
 */
export class JsonConfig {
  readonly #text: string;
  readonly #comments: boolean;
  readonly #place: EntryPlace;
  /** Undefined for a text without a value. */
  readonly #root: Node | undefined;
  readonly #data: Record<string, unknown>;

  /**
   * @param comments whether the client takes comments and trailing commas
   * @throws UnreadableConfig when the client could not read it either, or has no object of servers
   */
  constructor(text: string, comments: boolean, place: EntryPlace) {
    this.#text = text;
    this.#comments = comments;
    this.#place = place;
    if (isBlank(text, comments)) {
      this.#data = {};
      return;
    }
    this.#root = readTree(text, comments);
    this.#data = membersOf(this.#root);
    if (this.#data[place.key] !== undefined && !isObject(this.#data[place.key])) {
      throw new UnreadableConfig(`"${place.key}" is not an object`);
    }
  }

  get servers(): Record<string, unknown> {
    return (this.#data[this.#place.key] ?? {}) as Record<string, unknown>;
  }

  /** The edit that adds the entry, which must not be there. */
  add(entry: ServerEntry): TextEdit {
    const { key, name } = this.#place;
    const text = this.#text;
    if (!this.#root) {
      const eol = lineBreakOf(text);
      const start = text === '' || text.endsWith('\n') ? '' : eol;
      const inserted = `${start}${JSON.stringify({ [key]: { [name]: entry } }, null, 2)}\n`.replaceAll('\n', eol);
      return { offset: text.length, removed: '', inserted };
    }
    const servers = memberOf(this.#root, key);
    return servers
      ? insertMember(text, this.#root, servers, name, entry)
      : insertMember(text, this.#root, this.#root, key, { [name]: entry });
  }

  /**
   * The text without the entry.
   *
   * @param edit what `add` returned when it was added, if that is known
   * @throws UnreadableConfig if only a person can take it out
   */
  remove(edit: Omit<TextEdit, 'offset'> | undefined): string {
    const { key, name } = this.#place;
    const reverted = edit && revertEdit(this.#text, edit);
    if (reverted !== undefined && this.#isWithoutEntry(reverted)) return reverted;
    // Members that were made for the entry go with it.
    const isLast = edit?.inserted.includes(`${JSON.stringify(key)}:`) && Object.keys(this.servers).length === 1;
    const servers = this.#root && memberOf(this.#root, key);
    const removed = isLast ? removeMember(this.#text, this.#root, key) : removeMember(this.#text, servers, name);
    if (this.#isWithoutEntry(removed)) return removed;
    throw new UnreadableConfig('the entry cannot be taken out without changing something else');
  }

  #isWithoutEntry(text: string): boolean {
    const { [this.#place.name]: _, ...others } = this.servers;
    const { [this.#place.key]: servers, ...rest } = this.#data;
    let data: object = {};
    try {
      if (!isBlank(text, this.#comments)) data = membersOf(readTree(text, this.#comments));
    } catch {
      return false;
    }
    return (
      isDeepStrictEqual(data, { ...rest, [this.#place.key]: others }) ||
      (servers !== undefined && Object.keys(others).length === 0 && isDeepStrictEqual(data, rest))
    );
  }
}

function membersOf(root: Node): Record<string, unknown> {
  const value = valueOf(root);
  if (!isObject(value)) throw new UnreadableConfig('its value is not an object');
  return value;
}

/** What the parser's own functions return is without a member `__proto__`. */
function valueOf({ type, value, children = [] }: Node): unknown {
  if (type === 'array') return children.map(valueOf);
  if (type !== 'object') return value;
  return Object.fromEntries(children.map(({ children: pair }) => [pair?.[0]?.value, pair?.[1] && valueOf(pair[1])]));
}

function readTree(text: string, comments: boolean): Node {
  const errors: ParseError[] = [];
  const tree = parseTree(text, errors, { disallowComments: !comments, allowTrailingComma: comments });
  const offset = errors[0]?.offset;
  if (offset !== undefined || !tree) {
    const line = text.slice(0, offset).split('\n').length;
    throw new UnreadableConfig(`line ${line} is not valid JSON${comments ? '' : ', which has no comments here'}`);
  }
  if (!comments) {
    try {
      JSON.parse(text);
    } catch {
      throw new UnreadableConfig('it is not valid JSON');
    }
  }
  return tree;
}

/** Whether there is no value: nothing, white space, or comments where they are allowed. */
function isBlank(text: string, comments: boolean): boolean {
  if (!comments) return text.trim() === '';
  const scanner = createScanner(text, false);
  for (;;) {
    const token: number = scanner.scan();
    if (token === kinds.end) return true;
    const error: number = scanner.getTokenError();
    if (token < kinds.lineComment || token > kinds.space || error !== 0) return false;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isNamed =
  (name: string) =>
  ({ children }: Node): boolean =>
    children?.[0]?.value === name;

/** The value of a member: of several with one name, the last, as every parser has it. */
const memberOf = (object: Node, name: string): Node | undefined =>
  object.children?.findLast(isNamed(name))?.children?.[1];

/** Takes a member out with its comma and its lines; comments around it stay. */
function removeMember(text: string, object: Node | undefined, name: string): string {
  const members = object?.children ?? [];
  const index = members.findLastIndex(isNamed(name));
  const member = members[index];
  if (!member) return text;
  const ownEnd = member.offset + member.length;
  const comma = commaAfter(text, ownEnd);
  let start = member.offset;
  let end = comma === undefined ? ownEnd : comma + 1;
  const behind = /^[ \t]*(?:\r?\n)?/.exec(text.slice(end))?.[0] ?? '';
  if (behind.endsWith('\n') && startsLine(text, start)) {
    start -= indentAt(text, start).length;
    end += behind.length;
  }
  const before = members[index - 1];
  const separator = comma === undefined && before ? commaAfter(text, before.offset + before.length) : undefined;
  if (separator === undefined) return text.slice(0, start) + text.slice(end);
  return text.slice(0, separator) + text.slice(separator + 1, start) + text.slice(end);
}

/** Adds a member at the end of an object, in the form that the text has. */
function insertMember(text: string, root: Node, object: Node, name: string, value: object): TextEdit {
  const eol = lineBreakOf(text);
  const close = object.offset + object.length - 1;
  const last = object.children?.at(-1);
  const first = object.children?.[0];
  const inline = first ? !startsLine(text, first.offset) : isCompact(text, root);
  if (inline) {
    const member = `${JSON.stringify(name)}:${JSON.stringify(value)}`;
    if (!last) return { offset: close, removed: '', inserted: member };
    const end = last.offset + last.length;
    const comma = commaAfter(text, end);
    return comma === undefined
      ? { offset: end, removed: '', inserted: `,${member}` }
      : { offset: comma + 1, removed: '', inserted: `${member},` };
  }
  const own = indentAt(text, object.offset);
  const unit = indentUnit(text, root);
  const indent = first ? indentAt(text, first.offset) : own + unit;
  const member = `${JSON.stringify(name)}: ${JSON.stringify(value, null, unit)}`.replaceAll('\n', eol + indent);
  if (last) {
    const end = last.offset + last.length;
    const comma = commaAfter(text, end);
    const offset = comma === undefined ? end : comma + 1;
    // A comment behind the last member stays on its line.
    const removed = restOfLine(text, offset);
    const inserted = `${comma === undefined ? ',' : ''}${removed}${eol}${indent}${member}${comma === undefined ? '' : ','}`;
    return { offset, removed, inserted };
  }
  const inside = text.slice(object.offset + 1, close);
  if (/\n[ \t]*$/.test(inside)) {
    const offset = object.offset + 1 + inside.lastIndexOf('\n') + 1;
    return { offset, removed: '', inserted: `${indent}${member}${eol}` };
  }
  const removed = inside.trim() === '' ? inside : '';
  return { offset: close - removed.length, removed, inserted: `${eol}${indent}${member}${eol}${own}` };
}

const startsLine = (text: string, offset: number): boolean => /(?:^|\n)[ \t]*$/.test(text.slice(0, offset));

function indentAt(text: string, offset: number): string {
  const line = text.slice(text.lastIndexOf('\n', offset - 1) + 1, offset);
  return /^[ \t]*/.exec(line)?.[0] ?? '';
}

function indentUnit(text: string, root: Node): string {
  const first = root.children?.[0];
  const indent = first && startsLine(text, first.offset) ? indentAt(text, first.offset) : '';
  return indent || '  ';
}

/** A whole text without line breaks, as a program writes it that does not indent. */
const isCompact = (text: string, root: Node): boolean =>
  (root.children?.length ?? 0) > 0 && !text.slice(root.offset, root.offset + root.length).includes('\n');

/** Where the trailing comma behind the last member is. */
function commaAfter(text: string, end: number): number | undefined {
  const scanner = createScanner(text, true);
  scanner.setPosition(end);
  const token: number = scanner.scan();
  return token === kinds.comma ? scanner.getTokenOffset() : undefined;
}

/** Comments and white space up to the end of the line, if nothing else is on it. */
function restOfLine(text: string, start: number): string {
  const scanner = createScanner(text, false);
  scanner.setPosition(start);
  for (;;) {
    const token: number = scanner.scan();
    const offset = scanner.getTokenOffset();
    if (token === kinds.lineBreak) return text.slice(start, offset);
    const isQuiet = token === kinds.space || token === kinds.lineComment;
    const isComment = token === kinds.blockComment && !scanner.getTokenValue().includes('\n');
    if (!isQuiet && !isComment) return '';
  }
}
