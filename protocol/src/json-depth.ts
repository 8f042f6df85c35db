/**
 * How deep JSON text is nested, found out before JSON.parse sees it. In V8 14 (Node 26) a text of
 * more than 8,192 levels with an error in it makes JSON.parse corrupt the memory of the process, so
 * that whatever comes from somebody else is looked at first.
 */
const quote = 0x22;
const comma = 0x2c;
const colon = 0x3a;
const openBracket = 0x5b;
const backslash = 0x5c;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/** A piece of JSON text that gives it its structure. */
export type Structure = 'string' | 'open' | 'close' | 'colon' | 'comma';

/**
 * Visits the strings, brackets, colons and commas of a text, with the level on which each of them
 * is, a bracket on the one that it opens or closes, the outermost on 1. Whether the text is JSON is
 * not looked at.
 *
 * @param deepest what is on deeper levels is not visited
 * @param visit `from` and `to` are the places of its first and its last character; ends the visit
 *   by returning true
 */
export function visitStructure(
  text: string,
  deepest: number,
  visit: (what: Structure, level: number, from: number, to: number) => boolean | void,
): void {
  let level = 0;
  for (let at = 0; at < text.length; at++) {
    const from = at;
    let what: Structure;
    switch (text.charCodeAt(at)) {
      case quote:
        at = endOfString(text, at);
        what = 'string';
        break;
      case openBracket:
      case openBrace:
        level++;
        what = 'open';
        break;
      case closeBracket:
      case closeBrace:
        what = 'close';
        break;
      case colon:
        what = 'colon';
        break;
      case comma:
        what = 'comma';
        break;
      default:
        continue;
    }
    if (level <= deepest && visit(what, level, from, at)) return;
    if (what === 'close') level--;
  }
}

/**
 * Whether arrays and objects in the text are nested deeper than so many levels, the outermost
 * included.
 */
export function nestsDeeperThan(text: string, levels: number): boolean {
  // Nearly no text has so many brackets, and counting them takes a small part of the time of
  // parsing.
  if (!hasMany(text, '{', levels / 2) && !hasMany(text, '[', levels / 2)) return false;
  let deeper = false;
  visitStructure(text, Infinity, (_, level) => (deeper = level > levels));
  return deeper;
}

/** Parses JSON text; undefined if it is invalid, or nested deeper than so many levels. */
export function parseShallow(text: string, levels: number): unknown {
  if (nestsDeeperThan(text, levels)) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * The text with `null` in the place of every array and object that lies deeper than so many levels.
 */
export function prunedTo(text: string, levels: number): string {
  let pruned = '';
  let from: number | undefined = 0;
  visitStructure(text, levels + 1, (what, level, at) => {
    if (level !== levels + 1) return;
    if (what === 'open') {
      pruned += `${text.slice(from, at)}null`;
      from = undefined;
    }
    if (what === 'close') from = at + 1;
  });
  return from === undefined ? pruned : pruned + text.slice(from);
}

function hasMany(text: string, char: string, count: number): boolean {
  let at = -1;
  for (let n = 0; n < count; n++) {
    at = text.indexOf(char, at + 1);
    if (at < 0) return false;
  }
  return true;
}

/** The place of the quote that ends the string which begins at `from`. */
function endOfString(text: string, from: number): number {
  for (let at = text.indexOf('"', from + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let escapes = 0;
    while (text.charCodeAt(at - 1 - escapes) === backslash) escapes++;
    if (escapes % 2 === 0) return at;
  }
  return text.length;
}
