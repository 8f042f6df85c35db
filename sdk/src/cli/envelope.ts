import { isId } from '../link/message.ts';
import { kindOf, type Malformed } from '../link/reading.ts';

const quote = 0x22;
const backslash = 0x5c;
const colon = 0x3a;
const comma = 0x2c;
const opening: ReadonlySet<number> = new Set([0x7b, 0x5b]);
const closing: ReadonlySet<number> = new Set([0x7d, 0x5d]);
/** Bytes of a member's name or of an id that are kept. Longer ones are of no use. */
const maxTokenBytes = 8 * 1024;

/**
 * Finds out whose message it is that is too long to be kept: reads the UTF-8 of a JSON object piece
 * by piece and remembers its id, and which other members it has. In what is not JSON it finds
 * anything or nothing.
 */
export class Envelope {
  readonly #members = new Set<string>();
  #id: unknown;
  #depth = 0;
  #inString = false;
  #escaped = false;
  #token: number[] = [];
  #member: string | undefined;

  feed(bytes: Uint8Array): void {
    for (const byte of bytes) {
      if (this.#inString) this.#string(byte);
      else this.#structure(byte);
    }
  }

  /** What the object was meant to be, if anybody waits for it, or for an answer to it. */
  read(why: string): Malformed | undefined {
    if (!isId(this.#id)) return undefined;
    const asks = this.#members.has('method');
    const answers = this.#members.has('result') || this.#members.has('error');
    return { type: 'malformed', id: this.#id, as: kindOf(asks, answers), why };
  }

  #string(byte: number): void {
    this.#keep(byte);
    if (this.#escaped) this.#escaped = false;
    else if (byte === backslash) this.#escaped = true;
    else if (byte === quote) this.#inString = false;
  }

  #structure(byte: number): void {
    if (byte === quote) {
      this.#inString = true;
      this.#keep(byte);
    } else if (opening.has(byte)) this.#depth += 1;
    else if (closing.has(byte)) {
      if (this.#depth === 1) this.#value();
      this.#depth -= 1;
    } else if (this.#depth !== 1) return;
    else if (byte === colon) this.#member = this.#take() as string;
    else if (byte === comma) this.#value();
    else this.#keep(byte);
  }

  #keep(byte: number): void {
    if (this.#depth === 1 && this.#token.length <= maxTokenBytes) this.#token.push(byte);
  }

  #value(): void {
    const value = this.#take();
    if (this.#member === 'id') this.#id = value;
    else if (this.#member !== undefined) this.#members.add(this.#member);
    this.#member = undefined;
  }

  #take(): unknown {
    const text = Buffer.from(this.#token).toString('utf8');
    this.#token = [];
    try {
      return JSON.parse(text);
    } catch {
      return undefined; // an object or an array, or too long
    }
  }
}
