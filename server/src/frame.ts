import { type FrameToRelay, frameToRelay, type RelayErrorCode } from 'mcp-rendezvous/protocol';

const schemas = new Map<unknown, (typeof frameToRelay.def.options)[number]>(
  frameToRelay.def.options.map((option) => [option.shape.type.def.values[0], option]),
);

/** A frame of PROTOCOL.md §3, or the code of what is wrong with it. */
export function parseFrame(text: string): FrameToRelay | RelayErrorCode {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'bad_frame';
  }
  if (typeof value !== 'object' || value === null || !('type' in value) || typeof value.type !== 'string')
    return 'bad_frame';
  if (isSignal(value)) return value;
  const schema = schemas.get(value.type);
  if (!schema) return 'unknown_type';
  const frame = schema.safeParse(value);
  return frame.success ? frame.data : 'bad_frame';
}

/**
 * Whether it is a right `signal`, as its schema would say: almost all frames are, and the schema would cost as much as the rest of
 * what is done with them. A test holds this one to the schema.
 */
function isSignal(value: object): value is FrameToRelay & { type: 'signal' } {
  if (!('type' in value && 'id' in value && 'to' in value && 'data' in value)) return false;
  return value.type === 'signal' && isName(value.id) && isName(value.to);
}

const isName = (value: unknown): boolean => typeof value === 'string' && value.length > 0 && value.length <= 64;
