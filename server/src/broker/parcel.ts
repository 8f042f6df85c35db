import type { Change, Message } from './broker.ts';

/** What instances say to each other: a step of a group, or a message. */
export type Envelope = { change: Change } | { message: Message };

/** A signal but for its data: room, to, from, id, origin. A list, because its names would take longer to read than the rest. */
type SignalHead = [room: string, to: string, from: string, id: string, origin: string];

/** No JSON text contains it (RFC 7464 §2.1), so that nothing has to be escaped between envelopes. */
const separator = '\u001e';

/**
 * An envelope as text. A signal's data follows behind its head as it is: inside, it would be escaped here and unescaped there, character
 * by character.
 */
export function pack(envelope: Envelope): string {
  if (!('message' in envelope) || envelope.message.type !== 'signal') return JSON.stringify(envelope);
  const { room, to, from, id, origin, data } = envelope.message;
  return `${JSON.stringify([room, to, from, id, origin] satisfies SignalHead)}${separator}${data}`;
}

/** Several envelopes as one parcel. */
export const bundle = (packed: readonly string[]): string => packed.join(separator);

/** The envelopes of a parcel, in their order. */
export function* unpack(parcel: string): Iterable<Envelope> {
  const texts = parcel.split(separator).values();
  for (const text of texts) {
    const envelope = JSON.parse(text) as Envelope | SignalHead;
    if (Array.isArray(envelope)) {
      const [room, to, from, id, origin] = envelope;
      const data = texts.next().value ?? '';
      yield { message: { type: 'signal', room, to, from, id, origin, data } };
    } else {
      yield envelope;
    }
  }
}
