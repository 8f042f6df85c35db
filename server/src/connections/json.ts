const quote = 0x22;
const comma = 0x2c;
const minus = 0x2d;
const dot = 0x2e;
const zero = 0x30;
const nine = 0x39;
const colon = 0x3a;
const openBracket = 0x5b;
const backslash = 0x5c;
const openBrace = 0x7b;
/** In ASCII, from an opening bracket or brace to its closing one. */
const toClosing = 2;

/**
 * Reads a JSON object (RFC 8259) one level deep: the JSON text of each member's value, by the
 * member's name. The whole text is checked, but nothing below the object's own members is decoded,
 * so that a value can be passed on exactly as it was written.
 *
 * The scanner is a loop and remembers one number for each open array or object, so that no input
 * exhausts the stack. It uses no regular expressions: V8 keeps a stack for those, too.
 *
 * @param maxDepth how deep arrays and objects may be nested, the object itself included
 * @returns undefined if the text is not a JSON object, is nested deeper, or has a member twice
 */
export function membersOf(text: string, maxDepth: number): Map<string, string> | undefined {
  const members = new Map<string, string>();
  /** The closing character of each open array and object, the innermost last. */
  const open: number[] = [];
  let name = '';
  let start = pastSpace(text, 0);
  if (text.charCodeAt(start) !== openBrace) return undefined;
  // Each turn reads one value, or the beginning of one that has values in it.
  for (let at = start; ;) {
    const first = text.charCodeAt(at);
    const nested = first === openBrace || first === openBracket;
    if (nested) {
      if (open.length === maxDepth) return undefined;
      open.push(first + toClosing);
      at++;
    } else {
      at = pastScalar(text, at);
      if (at < 0) return undefined;
      if (open.length === 1) members.set(name, text.slice(start, at));
    }
    at = pastSpace(text, at);
    // What ends here: an empty array or object, or those whose last value this was.
    let ended = !nested;
    while (text.charCodeAt(at) === open.at(-1)) {
      open.pop();
      at++;
      ended = true;
      if (open.length === 1) members.set(name, text.slice(start, at));
      at = pastSpace(text, at);
      if (open.length === 0) return at === text.length ? members : undefined;
    }
    if (ended) {
      if (text.charCodeAt(at) !== comma) return undefined;
      at = pastSpace(text, at + 1);
    }
    if (open.at(-1) === openBracket + toClosing) continue;
    const end = text.charCodeAt(at) === quote ? pastString(text, at) : -1;
    if (end < 0) return undefined;
    if (open.length === 1) {
      name = JSON.parse(text.slice(at, end)) as string;
      if (members.has(name)) return undefined;
    }
    at = pastSpace(text, end);
    if (text.charCodeAt(at) !== colon) return undefined;
    at = pastSpace(text, at + 1);
    if (open.length === 1) start = at;
  }
}

function pastSpace(text: string, from: number): number {
  let at = from;
  for (let char = text.charCodeAt(at); char === 0x20 || (char >= 0x09 && char <= 0x0d); char = text.charCodeAt(++at)) {
    // Vertical tab and form feed are not white space in JSON.
    if (char === 0x0b || char === 0x0c) return at;
  }
  return at;
}

/** The place behind a string, number or literal; -1 if there is none. */
function pastScalar(text: string, at: number): number {
  if (text.charCodeAt(at) === quote) return pastString(text, at);
  for (const literal of ['true', 'false', 'null']) if (text.startsWith(literal, at)) return at + literal.length;
  return pastNumber(text, at);
}

function pastString(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    const char = text.charCodeAt(at);
    if (char === quote) return at + 1;
    if (char < 0x20) return -1;
    if (char !== backslash) continue;
    const escaped = text.charAt(++at);
    if (escaped === 'u') {
      if (!/^[\da-fA-F]{4}$/.test(text.slice(at + 1, at + 5))) return -1;
      at += 4;
    } else if (escaped === '' || !'"\\/bfnrt'.includes(escaped)) {
      return -1;
    }
  }
  return -1;
}

function pastNumber(text: string, from: number): number {
  let at = text.charCodeAt(from) === minus ? from + 1 : from;
  const whole = pastDigits(text, at);
  // A leading zero stands alone.
  if (whole < 0 || (text.charCodeAt(at) === zero && whole > at + 1)) return -1;
  at = whole;
  if (text.charCodeAt(at) === dot) at = pastDigits(text, at + 1);
  if (at < 0 || (text.charAt(at) !== 'e' && text.charAt(at) !== 'E')) return at;
  const sign = text.charAt(at + 1);
  return pastDigits(text, sign === '+' || sign === '-' ? at + 2 : at + 1);
}

/** At least one digit. */
function pastDigits(text: string, from: number): number {
  let at = from;
  for (let char = text.charCodeAt(at); char >= zero && char <= nine; char = text.charCodeAt(at)) at++;
  return at > from ? at : -1;
}
