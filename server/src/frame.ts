import { type FrameToRelay, frameToRelay, type RelayErrorCode } from 'mcp-rendezvous/protocol';

/** A frame of PROTOCOL.md §3; a signal's data is its JSON text, because the relay passes it on and does not look at it. */
export type Frame =
  | Exclude<FrameToRelay, { type: 'signal' }>
  | { type: 'signal'; id: string; to: string; data: string };

const schemas = new Map<unknown, (typeof frameToRelay.def.options)[number]>(
  frameToRelay.def.options.map((option) => [option.shape.type.def.values[0], option]),
);

/** A frame, or the code of what is wrong with it. */
export function parseFrame(text: string): Frame | RelayErrorCode {
  const signal = usualSignal(text);
  if (signal) return signal;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'bad_frame';
  }
  if (typeof value !== 'object' || value === null || !('type' in value) || typeof value.type !== 'string')
    return 'bad_frame';
  const schema = schemas.get(value.type);
  if (!schema) return 'unknown_type';
  const parsed = schema.safeParse(value);
  if (!parsed.success) return 'bad_frame';
  const frame = parsed.data;
  return frame.type === 'signal' ? { ...frame, data: JSON.stringify(frame.data) } : frame;
}

const usualStart = /^\{"type": ?"signal", ?"id": ?"([\w-]{1,64})", ?"to": ?"([\w-]{1,64})", ?"data": ?/;

/**
 * A signal as SDKs write it, which almost all frames are: its data is what lies between the rest. It is parsed only to see that it is one
 * JSON value; to write it again would cost as much as everything else that the relay does with a signal of its own accord, and so would
 * the schema. Undefined: it is something else, or is written otherwise.
 */
function usualSignal(text: string): Frame | undefined {
  const [start, id, to] = usualStart.exec(text) ?? [];
  if (start === undefined || id === undefined || to === undefined || !text.endsWith('}')) return undefined;
  const data = text.slice(start.length, -1);
  try {
    JSON.parse(data);
  } catch {
    return undefined; // perhaps there are more members behind it
  }
  return { type: 'signal', id, to, data };
}
