import { type FrameToRelay, frameToRelay, type RelayErrorCode } from 'mcp-rendezvous/protocol';

const types = new Set<unknown>(frameToRelay.def.options.map((option) => option.shape.type.def.values[0]));

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
  if (!types.has(value.type)) return 'unknown_type';
  const frame = frameToRelay.safeParse(value);
  return frame.success ? frame.data : 'bad_frame';
}
