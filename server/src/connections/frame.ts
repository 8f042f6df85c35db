import {
  type FrameToRelay,
  frameToRelay,
  type JoinFrame,
  maxFrameDepth,
  type RelayErrorCode,
} from 'mcp-rendezvous-protocol';
import { membersOf } from './json.ts';

/** A signal's `data` is its JSON text as it came: the relay passes it on unread. */
export type Frame =
  | Exclude<FrameToRelay, { type: 'signal' | 'join' }>
  | { type: 'signal'; id: string; to: string; data: string }
  | Join;

/** A `join`, with the JSON text of its signal's `data`. */
export type Join = Omit<JoinFrame, 'signal'> & { signal?: { id: string; data: string } };

const schemas = new Map<unknown, (typeof frameToRelay.def.options)[number]>(
  frameToRelay.def.options.map((option) => [option.shape.type.def.values[0], option]),
);

/** Reads a frame of PROTOCOL.md §3. Returns the code of what is wrong with it otherwise. */
export function parseFrame(text: string): Frame | RelayErrorCode {
  const members = membersOf(text, maxFrameDepth);
  const type = members?.get('type');
  if (!members || type?.startsWith('"') !== true) return 'bad_frame';
  const schema = schemas.get(JSON.parse(type));
  if (!schema) return 'unknown_type';
  const parsed = schema.safeParse(select(members, Object.keys(schema.shape)));
  return parsed.success ? (parsed.data as Frame) : 'bad_frame';
}

/** Decodes the members that the protocol knows. The rest is ignored, and `data` stays text. */
function select(members: Map<string, string>, names: string[]): object {
  const value: Record<string, unknown> = {};
  for (const name of names) {
    const text = members.get(name);
    if (text !== undefined) value[name] = decode(name, text);
  }
  return value;
}

function decode(name: string, text: string): unknown {
  if (name === 'data') return text;
  if (name !== 'signal') return JSON.parse(text);
  const members = membersOf(text, maxFrameDepth);
  // null has not the form of a signal either.
  return members ? select(members, ['id', 'data']) : null;
}
