import { dataHeaderBytes } from './frame.ts';

/** A message in UTF-8. */
export interface Text {
  bytes: Uint8Array<ArrayBuffer>;
  /** In front of the bytes is room for the header of a DATA frame: a message of one part becomes a frame without a copy. */
  headroom: boolean;
}

const slabBytes = 65_536;
/** What most requests and notifications are shorter than. Longer messages have memory of their own. */
const mostSlabChars = 2_048;
/** A UTF-16 unit is three bytes at the most. */
const bytesPerChar = 3;

const encoder = new TextEncoder();
let slab = new Uint8Array(0);
let used = 0;

/** Short messages share memory: to ask for some costs more than to write them. */
export function encodeText(text: string): Text {
  if (text.length > mostSlabChars) return encodeLong(text);
  if (used + dataHeaderBytes + text.length * bytesPerChar > slab.length) {
    slab = new Uint8Array(slabBytes);
    used = 0;
  }
  const start = used + dataHeaderBytes;
  used = start + encoder.encodeInto(text, slab.subarray(start)).written;
  return { bytes: slab.subarray(start, used), headroom: true };
}

/** A copy of what is long costs as much as its encoding. How long it will be is known of plain ASCII only, which most of them are. */
function encodeLong(text: string): Text {
  const bytes = new Uint8Array(dataHeaderBytes + text.length);
  const { read } = encoder.encodeInto(text, bytes.subarray(dataHeaderBytes));
  if (read < text.length) return { bytes: encoder.encode(text), headroom: false };
  return { bytes: bytes.subarray(dataHeaderBytes), headroom: true };
}
